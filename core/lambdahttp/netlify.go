package lambdahttp

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/orga-session/orga-session/core/platform"
)

// readNetlify reads Netlify's event: a REST API's with the raw query, and the client's address in a header that Netlify's
// edge overwrites. It ignores requestContext, which locally contains the client's unverified claims.
func readNetlify(ctx context.Context, e *event) (*http.Request, encoder, error) {
	if !e.isRequest() {
		return nil, nil, errNoHTTP
	}
	h, path := e.header(take(e, e.MultiValueHeaders)), take(e, e.Path)
	r, err := newRequest(ctx, e, envelope{
		method: take(e, e.HTTPMethod), sent: path, path: cutFunction(path), query: netlifyQuery(e),
		header: h, addr: platform.ParseAddr(h.Get("X-Nf-Client-Connection-Ip")),
		platform: platform.Info{HTTPS: platform.ForwardedHTTPS(h), Identity: identityNetlify(ctx)},
	})
	return r, encodeNetlify, err
}

// cutFunction maps the path of a direct call of the function to a route. Redirected calls already have the route's path.
func cutFunction(path string) string {
	rest, ok := strings.CutPrefix(path, "/.netlify/functions/")
	if !ok {
		return path
	}
	name, rest, _ := strings.Cut(rest, "/")
	if name == "" { // an unclean path is a 404
		return path
	}
	if rest == "healthz" || rest == "readyz" {
		return "/" + rest
	}
	return "/api/" + rest
}

func netlifyQuery(e *event) string {
	if raw := take(e, e.RawQuery); raw != nil {
		return *raw
	}
	if _, query, ok := strings.Cut(take(e, e.RawURL), "?"); ok {
		return query
	}
	return encodeQuery(e, url.QueryEscape)
}
