package probe

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const (
	allowOrigin    = "Access-Control-Allow-Origin"
	originRemedy   = "Add the page's origin to ORGA_CORS_ORIGINS, exactly as browsers send it: scheme, host, port."
	corsNotChecked = "not checked: CORS does not apply to the endpoint's own origin; set --origin to check a page elsewhere"
)

// checkPreflight checks the preflight of a request with the caller's headers, or else with those of an app that sends a
// user's token.
func (p *prober) checkPreflight(ctx context.Context, mint answer) {
	if p.origin == "" {
		p.report.skip("cors.preflight", corsNotChecked)
		return
	}
	asked := []string{"authorization", "content-type"}
	if len(p.browser.header) > 0 {
		asked = slices.Sorted(maps.Keys(p.browser.header))
		for i := range asked {
			asked[i] = strings.ToLower(asked[i])
		}
	}
	const id = "cors.preflight"
	a := p.browser.preflight(ctx, p.origin, asked)
	if a.err != nil {
		p.report.fail(id, "OPTIONS gets no complete response within "+formatTimeout(a.limit), "Route OPTIONS to the function, too.")
		return
	}
	switch origins := a.header.Values(allowOrigin); {
	case a.status >= 500 && a.status == mint.status:
		p.report.skip(id, fmt.Sprintf("OPTIONS is answered with %d, too", a.status))
		return
	case a.status/100 != 2 && len(origins) == 0:
		p.report.fail(id, fmt.Sprintf("OPTIONS is answered with %d, without CORS headers", a.status),
			"Let OPTIONS reach the function without a credential. "+originRemedy)
		return
	case a.status/100 != 2:
		p.report.fail(id, fmt.Sprintf("OPTIONS is answered with %d; browsers require 2xx", a.status),
			"Let OPTIONS reach the function without a credential, because browsers never send one with it.")
		return
	default:
		if fault, fix := corsFault(origins, p.origin); fault != "" {
			p.report.fail(id, fault, fix)
			return
		}
	}
	for _, name := range asked {
		if !lists(a.header, "Access-Control-Allow-Headers", name) {
			p.report.fail(id, "the header "+name+" is not allowed",
				"Across origins, send only Authorization, Content-Type and X-Request-Id, which the endpoint allows.")
			return
		}
	}
	p.report.ok(id, "GET with "+strings.Join(asked, ", ")+" is allowed")
}

// checkResponseCORS checks that the page may read the response to its request, even an error: otherwise it cannot
// distinguish a 401 from a network failure.
func (p *prober) checkResponseCORS(asked, mint answer) {
	const id = "cors.request"
	if p.origin == "" {
		p.report.skip(id, corsNotChecked)
		return
	}
	origins := asked.header.Values(allowOrigin)
	if asked.status == http.StatusForbidden && mint.status != http.StatusForbidden && len(origins) == 0 {
		p.report.fail(id, "the origin "+p.origin+" is refused: it is not listed", originRemedy)
		return
	}
	if fault, fix := corsFault(origins, p.origin); fault != "" {
		p.report.fail(id, fault, fix)
		return
	}
	p.report.ok(id, p.origin+" may read the response")
}

// corsFault returns why a page of the origin may not read a response with these allowed origins; "" if it may.
func corsFault(origins []string, origin string) (fault, fix string) {
	switch {
	case len(origins) == 0:
		return "no " + allowOrigin + ": the page may not read the response", originRemedy
	case len(origins) > 1:
		return fmt.Sprintf("%d %s headers: browsers reject more than one", len(origins), allowOrigin),
			"Turn off the CORS settings of the gateway or host: the endpoint handles CORS itself."
	case origins[0] != origin && origins[0] != "*":
		return "another origin is allowed, not " + origin, originRemedy
	default:
		return "", ""
	}
}

// checkForeignOrigin checks that a page of an unlisted origin gets neither a CORS header nor a token.
func (p *prober) checkForeignOrigin(ctx context.Context) {
	const id = "cors.foreign"
	a := p.browser.get(ctx, foreignOrigin)
	minted := mintedToken(a) != ""
	if minted {
		p.report.Mints++
	}
	switch {
	case a.err != nil || a.status == http.StatusTooManyRequests || a.status >= 500:
		p.report.skip(id, "inconclusive: the request from a foreign origin failed for another reason")
	case a.header.Get(allowOrigin) != "":
		p.report.fail(id, "a page of any origin may mint and read the token",
			"List exact origins in ORGA_CORS_ORIGINS, and make sure that no gateway adds its own CORS headers.")
	case minted:
		p.report.fail(id, "a page of any origin can mint; it cannot read the token, but the owner pays for it",
			"Refuse mints with an unlisted Origin. The endpoint does so by itself; check what lies in front of it.")
	default:
		p.report.ok(id, fmt.Sprintf("refused with %d, without CORS headers", a.status))
	}
}
