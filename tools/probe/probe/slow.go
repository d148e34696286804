package probe

import (
	"fmt"
	"time"
)

// slow reports the phases of the first request. It never fails, because a cold start may be slow.
func (p *prober) slow() {
	const much = 3 * time.Second
	t := p.report.Timing
	detail := fmt.Sprintf("%s: DNS %s, connect %s, TLS %s, answer %s",
		spell(t.Total), spell(t.DNS), spell(t.Connect), spell(t.TLS), spell(t.FirstByte))
	if len(t.Server) > 0 {
		detail += fmt.Sprintf(" (secret %s, token %s, ICE %s)",
			spell(t.Server["secret"]), spell(t.Server["token"]), spell(t.Server["ice"]))
	}
	if t.Total > millis(much) {
		p.report.warn("time", detail, "Probe again: a cold start is slow only once. If it stays slow, look at the longest phase. Clients give up after 10 s.")
		return
	}
	p.report.ok("time", detail)
}
