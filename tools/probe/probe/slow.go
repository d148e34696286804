package probe

import (
	"fmt"
	"time"
)

// slow says where the time of the first request went. It fails nothing: a cold start is slow by right.
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
		p.report.warn("time", detail, "probe again: a cold start passes; if it stays, look at the longest part; clients give up at 10 s")
		return
	}
	p.report.ok("time", detail)
}
