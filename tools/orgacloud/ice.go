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

// offered is what the list offers to a client. Addresses are host:port, "" if there is none.
type offered struct {
	stun, udp, tcp, tls string
	expires             time.Time // of the credential
	wrong               bool      // the credential is
}

// relayFaults are faults of the STUN and TURN servers. unanswered is the address of a UDP port that never answers.
var relayFaults = []struct {
	name  string
	apply func(o *offered, unanswered string)
}{
	{"STUN does not answer", func(o *offered, unanswered string) { o.stun = unanswered }},
	{"TURN does not answer over UDP", func(o *offered, unanswered string) { o.udp = unanswered }},
	{"nothing answers", func(o *offered, unanswered string) { o.stun, o.udp, o.tcp, o.tls = unanswered, unanswered, "", "" }},
	{"wrong credential", func(o *offered, _ string) { o.wrong = true }},
	{"expired credential", func(o *offered, _ string) { o.expires = time.Now().Add(-time.Minute) }},
}

// servers returns the list for one token: a STUN server, and a TURN server with the token's own credential.
func (r *relay) servers(t orgatest.Token, fault string) []orgatest.ICEServer {
	o := r.offer
	o.expires = t.Expires.Add(credentialTTL)
	for _, f := range relayFaults {
		if f.name == fault {
			f.apply(&o, r.unanswered.LocalAddr().String())
		}
	}
	username := fmt.Sprintf("%d:%s", o.expires.Unix(), t.ID)
	credential := r.credential(username)
	if o.wrong {
		credential = r.credential("somebody else")
	}
	urls := []string{"turn:" + o.udp + "?transport=udp"}
	if o.tcp != "" {
		urls = append(urls, "turn:"+o.tcp+"?transport=tcp")
	}
	if o.tls != "" {
		urls = append(urls, "turns:"+o.tls+"?transport=tcp")
	}
	return []orgatest.ICEServer{{URLs: []string{"stun:" + o.stun}}, {URLs: urls, Username: username, Credential: credential}}
}
