package orgacloud

import (
	"encoding/json"
	"fmt"
	"time"
)

// server is an ICE server as the API writes it.
type server struct {
	URLs       any     `json:"urls"` // a string or a list of them
	Username   *string `json:"username,omitempty"`
	Credential *string `json:"credential,omitempty"`
}

// iceShapes are the ways in which the list is written, beside the documented one. The faults of a list
// that a client must refuse are last.
var iceShapes = []struct {
	name string
	wrap func(list []server) any
}{
	{"ice_servers", func(list []server) any { return map[string]any{"ice_servers": list} }},
	{"bare list", func(list []server) any { return list }},
	{"bare server", func(list []server) any { return list[len(list)-1] }},
	{"null credentials", func(list []server) any {
		type nulls struct { // as server, with nothing left out
			URLs       any     `json:"urls"`
			Username   *string `json:"username"`
			Credential *string `json:"credential"`
		}
		out := make([]nulls, len(list))
		for i, s := range list {
			out[i] = nulls(s)
		}
		return map[string]any{"iceServers": out}
	}},
	{"empty list", func([]server) any { return map[string]any{"iceServers": []server{}} }},
	{"null list", func([]server) any { return map[string]any{"iceServers": nil} }},
	{"server without urls", func(list []server) any {
		return map[string]any{"iceServers": append(list, server{Username: new("nobody")})}
	}},
}

// writeICE is the ICE call's answer in the shape that is asked for.
func writeICE(list []server, shape string) []byte {
	var v any = map[string]any{"iceServers": list}
	for _, s := range iceShapes {
		if s.name == shape {
			v = s.wrap(list)
		}
	}
	body, _ := json.Marshal(v) // strings and lists of them always marshal
	return body
}

// relayAddresses are where the cloud's STUN and TURN servers listen, as host:port.
type relayAddresses struct {
	udp, tcp string
	tls      string // "" without TLS
	nowhere  string // a UDP port where nothing ever answers
}

// relayFaults are what can be wrong with the servers that are handed out. Each changes the addresses or
// the credential's end of life; what it returns makes the credential itself wrong.
var relayFaults = []struct {
	name  string
	apply func(stun *string, turn *relayAddresses, expires *time.Time) (wrong bool)
}{
	{"STUN does not answer", func(stun *string, turn *relayAddresses, _ *time.Time) bool {
		*stun = turn.nowhere
		return false
	}},
	{"TURN does not answer over UDP", func(_ *string, turn *relayAddresses, _ *time.Time) bool {
		turn.udp = turn.nowhere
		return false
	}},
	{"nothing answers", func(stun *string, turn *relayAddresses, _ *time.Time) bool {
		*stun, turn.udp, turn.tcp, turn.tls = turn.nowhere, turn.nowhere, "", ""
		return false
	}},
	{"wrong credential", func(_ *string, _ *relayAddresses, _ *time.Time) bool { return true }},
	{"expired credential", func(_ *string, _ *relayAddresses, expires *time.Time) bool {
		*expires = time.Now().Add(-time.Minute)
		return false
	}},
}

// servers is the list for one token: a STUN server, and a TURN server with the token's own credential.
func (r *relay) servers(t token, fault string) []server {
	turn := r.addresses
	stun, expires := turn.udp, t.expires.Add(credentialTTL)
	wrong := false
	for _, f := range relayFaults {
		if f.name == fault {
			wrong = f.apply(&stun, &turn, &expires)
		}
	}
	username := fmt.Sprintf("%d:%s", expires.Unix(), t.id)
	credential := r.credential(username)
	if wrong {
		credential = r.credential("somebody else")
	}
	urls := []string{"turn:" + turn.udp + "?transport=udp"}
	if turn.tcp != "" {
		urls = append(urls, "turn:"+turn.tcp+"?transport=tcp")
	}
	if turn.tls != "" {
		urls = append(urls, "turns:"+turn.tls+"?transport=tcp")
	}
	return []server{{URLs: "stun:" + stun}, {URLs: urls, Username: &username, Credential: &credential}}
}
