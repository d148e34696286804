package orga

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// ICEServer is a STUN or TURN server, kept as the JSON that Orga sent: clients compare, and urls may
// be a string or a list. Members that are null are left out, as are a username or credential of "":
// a browser refuses either on a turn: entry. Marshalled, it is that JSON; printed, "[redacted]".
type ICEServer struct{ raw func() json.RawMessage }

// MarshalJSON is the entry as a browser's RTCPeerConnection takes it, credential included.
func (s ICEServer) MarshalJSON() ([]byte, error) {
	if s.raw == nil {
		return nil, errors.New("orga: an ICEServer comes from ICEServers only")
	}
	return s.raw(), nil
}

// URLs are the entry's addresses, however Orga wrote them.
func (s ICEServer) URLs() []string { return s.members().urls() }

// Credential is what a TURN server asks for; both are "" for STUN.
func (s ICEServer) Credential() (username, credential string) {
	m := s.members()
	return m.text("username"), m.text("credential")
}

func (s ICEServer) members() (m members) {
	if s.raw != nil {
		_ = json.Unmarshal(s.raw(), &m) // it parsed when it was decoded
	}
	return m
}

func (s ICEServer) String() string             { return redacted }
func (s ICEServer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
func (s ICEServer) LogValue() slog.Value       { return slog.StringValue(redacted) }

var errNoICE = errors.New("it holds no list of ICE servers")

// decodeICE reads {"iceServers":…}, {"ice_servers":…}, a bare list or one bare server.
func decodeICE(body []byte) ([]ICEServer, error) {
	list := json.RawMessage(body)
	var answer members
	if json.Unmarshal(body, &answer) == nil {
		switch {
		case answer.has("iceServers"):
			list = answer["iceServers"]
		case answer.has("ice_servers"):
			list = answer["ice_servers"]
		case answer.has("urls"):
			list = slices.Concat(json.RawMessage("["), body, json.RawMessage("]"))
		default:
			return nil, errNoICE
		}
	}
	var entries []json.RawMessage
	if json.Unmarshal(list, &entries) != nil || entries == nil || !nestable(list) {
		return nil, errNoICE
	}
	servers := make([]ICEServer, 0, len(entries))
	for _, entry := range entries {
		raw, err := cleanEntry(entry)
		if err != nil {
			return nil, err
		}
		servers = append(servers, ICEServer{func() json.RawMessage { return raw }})
	}
	return servers, nil
}

// nestable tells whether list can stand in an object: encoding/json reads and writes 10,000 levels, and
// a list that has them all by itself would leave none for the answer around it.
func nestable(list json.RawMessage) bool {
	return len(list) < 10_000 || json.Valid(slices.Concat([]byte(`{"iceServers":`), list, []byte("}")))
}

// cleanEntry checks one server and leaves out what a browser would refuse, keeping the order and the
// spelling of everything else.
func cleanEntry(entry json.RawMessage) (json.RawMessage, error) {
	var m members
	if json.Unmarshal(entry, &m) != nil || len(m.urls()) == 0 {
		return nil, errors.New("an ICE server in it has no urls")
	}
	refused := func(name string, value json.RawMessage) bool {
		return isNull(value) || string(value) == `""` && (name == "username" || name == "credential")
	}
	clean := true
	for name, value := range m {
		clean = clean && !refused(name, value)
	}
	if clean { // as nearly always
		return entry, nil
	}
	dec := json.NewDecoder(bytes.NewReader(entry))
	_, _ = dec.Token() // the opening brace: the entry parsed above
	out := []byte{'{'}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, errNoICE
		}
		name, _ := token.(string)
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, errNoICE
		}
		if refused(name, value) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		key, _ := json.Marshal(name) // a string always marshals
		out = slices.Concat(out, key, []byte{':'}, value)
	}
	return append(out, '}'), nil
}
