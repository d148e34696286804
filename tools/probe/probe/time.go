package probe

import (
	"fmt"
	"time"
)

// checkTime reports the phases of the first request. It never fails, because a cold start may be slow.
func (p *prober) checkTime() {
	const much = 3 * time.Second
	t := p.report.Timing
	detail := fmt.Sprintf("%s: DNS %s, connect %s, TLS %s, answer %s",
		formatMillis(t.Total), formatMillis(t.DNS), formatMillis(t.Connect), formatMillis(t.TLS), formatMillis(t.FirstByte))
	if len(t.Server) > 0 {
		detail += fmt.Sprintf(" (secret %s, token %s, ICE %s)",
			formatMillis(t.Server["secret"]), formatMillis(t.Server["token"]), formatMillis(t.Server["ice"]))
	}
	if t.Total > millis(much) {
		p.report.warn("time", detail, "Probe again: a cold start is slow only once. If it stays slow, look at the longest phase. Clients give up after 10 s.")
		return
	}
	p.report.ok("time", detail)
}
