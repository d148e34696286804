package probe

import (
	"net/http"
	"strings"
)

// checkHeaders checks the headers of every response. Only a missing no-store is a failure: a cache could give one
// caller's token to another.
func (p *prober) checkHeaders(a answer) {
	if !lists(a.header, "Cache-Control", "no-store") {
		p.report.fail("headers", "no Cache-Control: no-store, so a cache may give one caller's token to another",
			"Make sure that nothing in front of the endpoint changes Cache-Control.")
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
			"Find out what drops them in front of the endpoint.")
		return
	}
	p.report.ok("headers", "no-store and all others are present")
}

// lists reports whether a comma-separated header contains a value, ignoring case.
func lists(h http.Header, name, value string) bool {
	for v := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(v), value) {
			return true
		}
	}
	return false
}
