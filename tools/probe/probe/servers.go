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
	// gatherTime is how long a browser waits for a STUN or TURN server.
	gatherTime = 5 * time.Second
	// maxServers bounds the number of addresses; more than a handful also slow down browsers.
	maxServers = 16
)

// outcome is the result for one STUN or TURN server.
type outcome struct {
	check       Check
	unreachable bool // there was no reply at all
}

// checkServers checks all servers of the list concurrently.
func (p *prober) checkServers(ctx context.Context, c sessionConfig) {
	ctx, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	servers := c.servers[:min(len(c.servers), maxServers)]
	outcomes := make([]outcome, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { outcomes[i] = p.checkServer(ctx, s) })
	}
	wg.Wait()

	count := map[string]int{}
	for i, o := range outcomes {
		if o.unreachable && onlyTCP(servers, outcomes, servers[i]) {
			o.check.Detail = "no reply over UDP, although TURN over TCP works: UDP is blocked on the way, or the server does not offer it"
			o.check.Remedy = fmt.Sprintf("Allow UDP to port %d. Without it, calls use TCP, start up to 5 s later, and stutter on a poor connection.", servers[i].uri.Port)
		}
		if o.unreachable && p.browser.proxy != nil {
			o.check.Remedy += " The probe contacts it without the proxy."
		}
		count[o.check.ID]++
		p.report.add(o.check)
	}
	for _, id := range []string{"stun", "turn"} {
		if count[id] == 0 {
			p.report.skip(id, "the list has none")
		}
	}
	if len(c.servers) > maxServers {
		p.report.skip("turn", fmt.Sprintf("%d more addresses were not checked", len(c.servers)-maxServers))
	}
}

// onlyTCP reports whether TCP works, but a server and all others of its kind were not reached over UDP. For TURN, STUN
// servers do not count: they may use another port, or belong to someone else.
func onlyTCP(servers []iceServer, outcomes []outcome, failed iceServer) bool {
	reached := map[stun.ProtoType]bool{}
	for i, s := range servers {
		if outcomes[i].check.Status != Fail && (s.relays() || !failed.relays()) {
			reached[s.uri.Proto] = true
		}
	}
	return failed.uri.Proto == stun.ProtoTypeUDP && reached[stun.ProtoTypeTCP] && !reached[stun.ProtoTypeUDP]
}

// checkServer checks one server: it requests a binding, or relays a packet if it is a TURN server.
func (p *prober) checkServer(ctx context.Context, s iceServer) outcome {
	check := Check{ID: "stun", Target: s.target(), Status: OK}
	ask := p.requestBinding
	if s.relays() {
		check.ID, ask = "turn", p.relayPacket
	}
	if s.uri.IsSecure() && s.uri.Proto == stun.ProtoTypeUDP {
		check.Status, check.Detail = Skip, "browsers do not use TLS over UDP"
		return outcome{check: check}
	}
	start := time.Now()
	detail, err := ask(ctx, s)
	if err == nil {
		check.Detail = fmt.Sprintf("%s, in %s", detail, formatMillis(millis(time.Since(start))))
		return outcome{check: check}
	}
	var silent bool
	check.Status, check.Detail, check.Remedy, silent = describeFailure(err, s, time.Since(start))
	return outcome{check: check, unreachable: silent}
}

// describeFailure explains a failure; silent means that there was no reply at all.
func describeFailure(err error, s iceServer, waited time.Duration) (status Status, detail, remedy string, silent bool) {
	const reach = "Check that the server runs, and that no firewall blocks its port."
	if refusal, ok := errors.AsType[*stun.TurnError](err); ok {
		status, detail, remedy = describeRefusal(refusal.ErrorCodeAttr.Code)
		return status, detail, remedy, false
	}
	if untrusted, why := certificateFault(err); untrusted {
		return Fail, "its certificate is not accepted: " + why, "Tell the server's operator. Browsers reject it, too.", false
	}
	switch {
	case errors.Is(err, errNotRelayed):
		return Fail, "it allocates a relay, but a packet sent through it does not arrive",
			"Check that its relay ports (usually 49152-65535/udp) are open, and that its external address is correct.", false
	case timedOut(err):
		return Fail, "no answer over " + transportName(s.uri) + " within " + formatTimeout(waited), reach, true
	case portClosed(err):
		return Fail, "nothing listens on its port over " + transportName(s.uri), reach, true
	case errors.Is(err, errNoTLS):
		return Fail, "it does not speak TLS on this port", "Use turn: instead of turns:, or install a certificate on the server.", false
	case notRun(err) != nil:
		return Fail, notRun(err).Error(), "Check the address in Orga's list.", true
	default:
		return Fail, "its reply over " + transportName(s.uri) + " is not that of a STUN or TURN server", reach, false
	}
}

// describeRefusal explains a TURN server's error code.
func describeRefusal(code stun.ErrorCode) (status Status, detail, remedy string) {
	switch code {
	case stun.CodeUnauthorized, stun.CodeWrongCredentials:
		return Fail, "it refuses the credential", "Pass on the username and credential exactly as Orga sent them, never from a cache. " +
			"If they are unchanged, tell Orga. Clients would report connected, although no media flows."
	case stun.CodeForbidden:
		return Warn, "it allocates a relay, but forbids packets to itself, so relaying was not checked", "Try a call with relay only."
	case stun.CodeAllocQuotaReached:
		return Warn, "its quota is used up, so relaying was not checked", "Wait ten minutes until old allocations expire. If it persists, ask Orga."
	default:
		return Fail, fmt.Sprintf("it answers with error %d", code), "Tell Orga."
	}
}

// transportName names the transport to a server.
func transportName(u stun.URI) string {
	switch {
	case u.IsSecure():
		return "TLS"
	case u.Proto == stun.ProtoTypeTCP:
		return "TCP"
	default:
		return "UDP"
	}
}
