package orgacloud

import (
	"fmt"
	"slices"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// iceShapes are the forms of the ICE list, the documented one first. A client must refuse the last two.
var iceShapes = append(slices.Clone(orgatest.ICEDrifts),
	orgatest.ICEDrift{Name: "null list", Body: func([]orgatest.ICEServer) (string, string) { return `{"iceServers":null}`, "" }},
	orgatest.ICEDrift{Name: "server without urls", Body: func([]orgatest.ICEServer) (string, string) {
		return `{"iceServers":[{"urls":"stun:127.0.0.1"},{"username":"nobody"}]}`, ""
	}})

// relayAddresses are where the cloud's STUN and TURN servers listen, as host:port.
type relayAddresses struct {
	udp, tcp string
	tls      string // "" without TLS
	nowhere  string // a UDP port that never answers
}

// relayFaults are faults of the STUN and TURN servers. Each changes the addresses or the credential's expiry, and
// returns whether to make the credential wrong.
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

// servers returns the list for one token: a STUN server, and a TURN server with the token's own credential.
func (r *relay) servers(t orgatest.Token, fault string) []orgatest.ICEServer {
	turn := r.addresses
	stun, expires := turn.udp, t.Expires.Add(credentialTTL)
	wrong := false
	for _, f := range relayFaults {
		if f.name == fault {
			wrong = f.apply(&stun, &turn, &expires)
		}
	}
	username := fmt.Sprintf("%d:%s", expires.Unix(), t.ID)
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
	return []orgatest.ICEServer{{URLs: []string{"stun:" + stun}}, {URLs: urls, Username: username, Credential: credential}}
}
