package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// fresh mints once more, at once, as a client that repeats does.
func (p *prober) fresh(ctx context.Context, page string, first answer, c sessionConfig) {
	second := p.browser.get(ctx, page)
	if pr, own := problemOf(second); own || second.status == http.StatusTooManyRequests {
		p.report.add(Check{
			ID: "fresh", Status: Fail, Code: pr.Code, RequestID: pr.RequestID,
			Detail: fmt.Sprintf("a second mint right after the first is answered %d %s", second.status, pr.Code),
			Remedy: "allow a burst of two at least (ORGA_RATE_LIMIT): the widget repeats once on any failure",
		})
		return
	}
	var body struct {
		Token string `json:"ephemeralToken"`
	}
	if second.err != nil || second.status/100 != 2 || json.Unmarshal(second.body, &body) != nil || body.Token == "" {
		p.report.fail("fresh", "a second mint right after the first gives no token", "look at the endpoint's log: it does not answer reliably")
		return
	}
	if body.Token == c.token {
		p.report.fail("fresh", "a second mint gives the same token: it is cached"+age(first, second),
			"a token is for one session: let no cache, CDN or pool in front of the endpoint or in it keep an answer")
		return
	}
	p.report.Mints++
	p.report.ok("fresh", "a second mint gives another token")
}

// age tells where a cache stands, by the headers that caches leave.
func age(answers ...answer) string {
	for _, a := range answers {
		for _, name := range []string{"Age", "X-Cache", "Cf-Cache-Status", "Cache-Status"} {
			if a.header.Get(name) != "" {
				return ", by something that sets " + name
			}
		}
	}
	return ""
}
