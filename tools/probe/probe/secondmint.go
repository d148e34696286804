package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// checkSecondMint mints again immediately, as a retrying client does.
func (p *prober) checkSecondMint(ctx context.Context, page string, first answer, c sessionConfig) {
	second := p.browser.get(ctx, page)
	if pr, own := problemOf(second); own || second.status == http.StatusTooManyRequests {
		p.report.add(Check{
			ID: "fresh", Status: Fail, Code: pr.Code, RequestID: pr.RequestID,
			Detail: fmt.Sprintf("a second mint right after the first is answered with %d %s", second.status, pr.Code),
			Remedy: "Allow a burst of at least two (ORGA_RATE_LIMIT), because the widget retries once on any failure.",
		})
		return
	}
	token := mintedToken(second)
	if token == "" {
		p.report.fail("fresh", "a second mint right after the first returns no token", "Check the endpoint's log.")
		return
	}
	if token == c.token {
		p.report.fail("fresh", "a second mint returns the same token: it is cached"+age(first, second),
			"A token is for one session. Make sure that no cache, CDN or pool stores responses.")
		return
	}
	p.report.Mints++
	p.report.ok("fresh", "a second mint returns another token")
}

// mintedToken returns the token of a session config; "" if the answer is none.
func mintedToken(a answer) string {
	var body struct {
		Token string `json:"ephemeralToken"`
	}
	if a.err != nil || a.status/100 != 2 || json.Unmarshal(a.body, &body) != nil {
		return ""
	}
	return body.Token
}

// age names a header that a cache has added; "" if there is none.
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
