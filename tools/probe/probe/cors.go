package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const (
	allowOrigin = "Access-Control-Allow-Origin"
	listOrigin  = "add the page's origin to ORGA_CORS_ORIGINS, exactly as the browser sends it: scheme, host, port"
	notAsked    = "not asked: without --origin the page stands at the endpoint's own, where CORS does not apply"
)

// preflight asks what a browser asks ahead of a request with the caller's headers; without any, what it
// asks for an app that signs its users in.
func (p *prober) preflight(ctx context.Context, mint answer) {
	if p.origin == "" {
		p.report.skip("cors.preflight", notAsked)
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
		p.report.fail(id, "OPTIONS gets no whole answer within "+patient(a.limit), "route OPTIONS to the function as well")
		return
	}
	switch origins := a.header.Values(allowOrigin); {
	case a.status >= 500 && a.status == mint.status:
		p.report.skip(id, fmt.Sprintf("OPTIONS is answered %d as well", a.status))
		return
	case a.status/100 != 2 && len(origins) == 0:
		p.report.fail(id, fmt.Sprintf("OPTIONS is answered %d, without CORS headers", a.status),
			"let OPTIONS reach the function without a credential, and "+listOrigin)
		return
	case a.status/100 != 2:
		p.report.fail(id, fmt.Sprintf("OPTIONS is answered %d; a browser wants 2xx", a.status),
			"let OPTIONS reach the function without a credential: a browser never sends one with it")
		return
	default:
		if fault, fix := originFault(origins, p.origin); fault != "" {
			p.report.fail(id, fault, fix)
			return
		}
	}
	for _, name := range asked {
		if !lists(a.header, "Access-Control-Allow-Headers", name) {
			p.report.fail(id, "the header "+name+" is not allowed",
				"the endpoint allows Authorization, Content-Type and X-Request-Id; send no other across origins")
			return
		}
	}
	p.report.ok(id, "GET with "+strings.Join(asked, ", ")+" is allowed")
}

// readable checks that the page may read the answer to its own request, a refusal as well: without that
// it cannot tell 401 from no network.
func (p *prober) readable(asked, mint answer) {
	const id = "cors.request"
	if p.origin == "" {
		p.report.skip(id, notAsked)
		return
	}
	origins := asked.header.Values(allowOrigin)
	if asked.status == http.StatusForbidden && mint.status != http.StatusForbidden && len(origins) == 0 {
		p.report.fail(id, "the origin is refused: "+p.origin+" is not listed", listOrigin)
		return
	}
	if fault, fix := originFault(origins, p.origin); fault != "" {
		p.report.fail(id, fault, fix)
		return
	}
	p.report.ok(id, p.origin+" may read the answer")
}

// originFault says why a page of that origin may not read an answer with these allowed origins.
func originFault(origins []string, origin string) (fault, fix string) {
	switch {
	case len(origins) == 0:
		return "no " + allowOrigin + ": the page may not read the answer", listOrigin
	case len(origins) > 1:
		return fmt.Sprintf("%d %s headers: a browser refuses more than one", len(origins), allowOrigin),
			"let the endpoint alone do CORS: turn off the gateway's or the host's own"
	case origins[0] != origin && origins[0] != "*":
		return "another origin is allowed, not " + origin, listOrigin
	default:
		return "", ""
	}
}

// foreign asks as a page that nobody lists: it must get neither a CORS header nor a token.
func (p *prober) foreign(ctx context.Context) {
	const id = "cors.foreign"
	a := p.browser.get(ctx, foreignOrigin)
	var body struct {
		Token string `json:"ephemeralToken"`
	}
	minted := a.status/100 == 2 && json.Unmarshal(a.body, &body) == nil && body.Token != ""
	if minted {
		p.report.Mints++
	}
	switch {
	case a.err != nil || a.status == http.StatusTooManyRequests || a.status >= 500:
		p.report.skip(id, "the answer to a foreign origin says nothing about it")
	case a.header.Get(allowOrigin) != "":
		p.report.fail(id, "a page of any origin may mint and read the token",
			"list exact origins in ORGA_CORS_ORIGINS, and let no gateway add CORS headers of its own")
	case minted:
		p.report.fail(id, "a page of any origin can mint: it cannot read the token, but the owner pays for it",
			"refuse a mint with an Origin that is not listed, as the endpoint does by itself")
	default:
		p.report.ok(id, fmt.Sprintf("refused with %d, without CORS headers", a.status))
	}
}
