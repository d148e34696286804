package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

const (
	// gathering is how long a browser waits for a STUN or TURN server before it does without.
	gathering = 5 * time.Second
	// tried is how many addresses are asked; browsers grow slow with more than a handful.
	tried = 16
)

// outcome is what came of one STUN or TURN server.
type outcome struct {
	check       Check
	unreachable bool // nothing came back at all
}

// iceServers asks each server of the list, side by side.
func (p *prober) iceServers(ctx context.Context, c sessionConfig) {
	ctx, cancel := context.WithTimeout(ctx, gathering)
	defer cancel()
	servers := c.servers[:min(len(c.servers), tried)]
	outcomes := make([]outcome, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { outcomes[i] = p.iceServer(ctx, s) })
	}
	wg.Wait()

	count := map[string]int{}
	for i, o := range outcomes {
		if o.unreachable && onlyTCP(servers, outcomes, servers[i]) {
			o.check.Detail = "nothing comes back over UDP, while TURN over TCP works: UDP is blocked on the way, or not served"
			o.check.Remedy = fmt.Sprintf("let UDP out to port %d; until then calls go over TCP, start up to 5 s later and stutter on a poor line", servers[i].uri.Port)
		}
		if o.unreachable && p.browser.proxy != nil {
			o.check.Remedy += "; the probe asks it without the proxy"
		}
		count[o.check.ID]++
		p.report.add(o.check)
	}
	for _, id := range []string{"stun", "turn"} {
		if count[id] == 0 {
			p.report.skip(id, "there is none in the list")
		}
	}
	if len(c.servers) > tried {
		p.report.skip("turn", fmt.Sprintf("%d further addresses were not tried", len(c.servers)-tried))
	}
}

// onlyTCP says whether a server that was not reached over UDP shares that with all others like it, while
// TCP gets through. For TURN, STUN does not count: it may be on another port, or of another owner.
func onlyTCP(servers []iceServer, outcomes []outcome, failed iceServer) bool {
	reached := map[stun.ProtoType]bool{}
	for i, s := range servers {
		if outcomes[i].check.Status != Fail && (s.relays() || !failed.relays()) {
			reached[s.uri.Proto] = true
		}
	}
	return failed.uri.Proto == stun.ProtoTypeUDP && reached[stun.ProtoTypeTCP] && !reached[stun.ProtoTypeUDP]
}

// iceServer asks one server: for a binding, or for a relay when it is TURN.
func (p *prober) iceServer(ctx context.Context, s iceServer) outcome {
	check := Check{ID: "stun", Target: s.target(), Status: OK}
	ask := p.binding
	if s.relays() {
		check.ID, ask = "turn", p.relaying
	}
	if s.uri.IsSecure() && s.uri.Proto == stun.ProtoTypeUDP {
		check.Status, check.Detail = Skip, "TLS over UDP: browsers do not use it"
		return outcome{check: check}
	}
	start := time.Now()
	detail, err := ask(ctx, s)
	if err == nil {
		check.Detail = fmt.Sprintf("%s, in %s", detail, spell(millis(time.Since(start))))
		return outcome{check: check}
	}
	var silent bool
	check.Status, check.Detail, check.Remedy, silent = describe(err, s, time.Since(start))
	return outcome{check: check, unreachable: silent}
}

// describe says what a failure means; silent, that nothing came back at all.
func describe(err error, s iceServer, waited time.Duration) (status Status, detail, remedy string, silent bool) {
	const reach = "check that the server runs and that a firewall lets its port through"
	if refusal, ok := errors.AsType[*stun.TurnError](err); ok {
		status, detail, remedy = refused(refusal.ErrorCodeAttr.Code)
		return status, detail, remedy, false
	}
	if untrusted, why := certificateFault(err); untrusted {
		return Fail, "its certificate is not accepted: " + why, "tell who runs the server: browsers refuse it as well", false
	}
	switch {
	case errors.Is(err, errNotRelayed):
		return Fail, "it allocates, but a packet sent through it does not arrive",
			"check that its relay ports (49152-65535/udp as a rule) are open and its external address is right", false
	case timedOut(err):
		return Fail, "no answer over " + via(s.uri) + " within " + patient(waited), reach, true
	case portClosed(err):
		return Fail, "nothing listens there over " + via(s.uri), reach, true
	case errors.Is(err, errNoTLS):
		return Fail, "it does not speak TLS on this port", "the address should begin with turn:, or the server lacks a certificate", false
	case notRun(err) != nil:
		return Fail, notRun(err).Error(), "check the address that Orga hands out", true
	default:
		return Fail, "it does not answer over " + via(s.uri) + " as such a server does", reach, false
	}
}

// refused says what a TURN server's error code means to whoever runs the endpoint.
func refused(code stun.ErrorCode) (status Status, detail, remedy string) {
	switch code {
	case stun.CodeUnauthorized, stun.CodeWrongCredentials:
		return Fail, "it refuses the credential", "hand on username and credential exactly as Orga sent them, never from a cache; " +
			"when they are, tell Orga: the client will say connected and nothing will flow"
	case stun.CodeForbidden:
		return Warn, "it allocates, but forbids to relay to itself: relaying is not checked", "try a call with relay only"
	case stun.CodeAllocQuotaReached:
		return Warn, "its quota is reached: relaying is not checked", "wait ten minutes for old allocations to end; then ask Orga"
	default:
		return Fail, fmt.Sprintf("it answers with error %d", code), "tell Orga"
	}
}

// via names what carries the packets to a server.
func via(u stun.URI) string {
	switch {
	case u.IsSecure():
		return "TLS"
	case u.Proto == stun.ProtoTypeTCP:
		return "TCP"
	default:
		return "UDP"
	}
}
