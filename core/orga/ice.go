package orga

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// ICEServer is a STUN or TURN server, kept as the JSON that Orga sent, because urls may be a string or a list, and a
// server may have members that this package does not know. Members that are null are omitted, and so are empty usernames and
// credentials, which browsers reject. It marshals to that JSON; printed or logged, it is "[redacted]".
//
// In a test, unmarshal one:
//
//	var servers []orga.ICEServer
//	err := json.Unmarshal([]byte(`[{"urls":"stun:stun.example:3478"}]`), &servers)
type ICEServer struct{ raw func() []byte }

var errEmptyServer = errors.New("orga: the ICEServer is empty")

// MarshalJSON returns the entry as a browser's RTCPeerConnection expects it, with its credential.
func (s ICEServer) MarshalJSON() ([]byte, error) {
	if s.raw == nil {
		return nil, errEmptyServer
	}
	return s.raw(), nil
}

// UnmarshalJSON parses an entry. An entry without urls is an error.
func (s *ICEServer) UnmarshalJSON(data []byte) error {
	entry, _ := document(bytes.Clone(data))
	server, err := decodeServer(entry)
	if err != nil {
		return fmt.Errorf("orga: %w", err)
	}
	*s = server
	return nil
}

// URLs returns the addresses of the server, even if Orga sent a single string.
func (s ICEServer) URLs() (urls []string) {
	value := s.member("urls")
	if one := text(value); one != "" {
		return []string{one}
	}
	for each := range elements(value) {
		urls = append(urls, text(each))
	}
	return urls
}

// Credential returns the username and credential of a TURN server; both are "" for a STUN server.
func (s ICEServer) Credential() (username, credential string) {
	return text(s.member("username")), text(s.member("credential"))
}

func (s ICEServer) member(name string) (value []byte) {
	if s.raw == nil {
		return nil
	}
	for m := range members(s.raw()) {
		if string(m.name) == name {
			value = m.value
		}
	}
	return value
}

func (s ICEServer) String() string       { return redacted }
func (s ICEServer) LogValue() slog.Value { return slog.StringValue(redacted) }

var errNoICE = errors.New("it has no list of ICE servers")

// decodeICE parses {"iceServers":…}, {"ice_servers":…}, or directly what either may contain: a list or one server.
func decodeICE(body []byte) ([]ICEServer, error) {
	answer, ok := document(body)
	if !ok {
		return nil, errNoICE
	}
	var camelCase, snakeCase, bare []byte
	for m := range members(answer) {
		switch {
		case isNull(m.value): // treat as missing
		case string(m.name) == "iceServers":
			camelCase = m.value
		case string(m.name) == "ice_servers":
			snakeCase = m.value
		case string(m.name) == "urls":
			bare = answer
		}
	}
	list := answer
	if answer[0] == '{' {
		list = bare
		if camelCase != nil {
			list = camelCase
		} else if snakeCase != nil {
			list = snakeCase
		}
	}
	switch {
	case len(list) > 0 && list[0] == '{':
		server, err := decodeServer(list)
		if err != nil {
			return nil, err
		}
		return []ICEServer{server}, nil
	case len(list) == 0 || list[0] != '[':
		return nil, errNoICE
	}
	servers := make([]ICEServer, 0, 4)
	for entry := range elements(list) {
		server, err := decodeServer(entry)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// decodeServer validates one entry and removes what a browser would reject. It keeps the order and the spelling of the
// rest.
func decodeServer(entry []byte) (ICEServer, error) {
	var urls []byte
	clean := true
	for m := range members(entry) {
		switch {
		case rejected(m):
			clean = false
		case string(m.name) == "urls":
			urls = m.value
		}
	}
	if !areURLs(urls) || !nestable(entry) {
		return ICEServer{}, errors.New("one of its ICE servers has no urls")
	}
	if !clean {
		kept := make([]byte, 0, len(entry))
		for m := range members(entry) {
			if !rejected(m) {
				kept = append(append(kept, ','), m.raw...)
			}
		}
		kept[0] = '{' // kept has at least urls
		kept = append(kept, '}')
		entry = kept
	}
	return ICEServer{func() []byte { return entry }}, nil
}

func rejected(m member) bool {
	return isNull(m.value) || string(m.value) == `""` && (string(m.name) == "username" || string(m.name) == "credential")
}

// areURLs reports whether value is a string or a list of strings, none of them empty.
func areURLs(value []byte) bool {
	isURL := func(v []byte) bool { return len(v) > len(`""`) && v[0] == '"' }
	if isURL(value) {
		return true
	}
	some := false
	for each := range elements(value) {
		if some = isURL(each); !some {
			return false
		}
	}
	return some
}

// nestable reports whether an entry can be nested in a session config: encoding/json accepts 10,000 levels, of which the
// config around the entry uses two.
func nestable(entry []byte) bool {
	return len(entry) < 10_000 || json.Valid(slices.Concat([]byte("[["), entry, []byte("]]")))
}
