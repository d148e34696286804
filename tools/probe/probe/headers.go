package probe

import (
	"net/http"
	"strings"
)

// headers checks those that stand on every answer. Only no-store is a matter of life and death: a cache
// that keeps a token hands it to the next caller.
func (p *prober) headers(a answer) {
	if !lists(a.header, "Cache-Control", "no-store") {
		p.report.fail("headers", "no Cache-Control: no-store: a cache may hand one caller's token to another",
			"let nothing in front of the endpoint set or drop Cache-Control")
		return
	}
	var missing []string
	want := func(name string, there bool) {
		if !there {
			missing = append(missing, name)
		}
	}
	want("CDN-Cache-Control", lists(a.header, "CDN-Cache-Control", "no-store"))
	want("Pragma", lists(a.header, "Pragma", "no-cache"))
	want("X-Content-Type-Options", lists(a.header, "X-Content-Type-Options", "nosniff"))
	want("X-Request-Id", a.header.Get("X-Request-Id") != "")
	want("Vary: Origin", lists(a.header, "Vary", "Origin"))
	if a.status/100 == 2 {
		want("Content-Type: application/json", mediaType(a.header) == "application/json")
		want("Server-Timing", a.header.Get("Server-Timing") != "")
	}
	if len(missing) > 0 {
		p.report.warn("headers", "missing: "+strings.Join(missing, ", "),
			"look what stands in front of the endpoint and drops them")
		return
	}
	p.report.ok("headers", "no-store and the others are there")
}

// lists says whether a comma-separated header holds a value, whatever its case.
func lists(h http.Header, name, value string) bool {
	for v := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(v), value) {
			return true
		}
	}
	return false
}
