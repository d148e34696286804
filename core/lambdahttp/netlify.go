package lambdahttp

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/orga-session/orga-session/core/platform"
)

// readNetlify reads Netlify's event: the shape of a REST API's, with the raw query beside it, and the
// client's address in a header that Netlify's edge writes over whatever a client sends. Its
// requestContext is not looked at: locally it holds what the client claims to be.
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

// cutFunction maps a direct call of the function to the route that it means. Calls that come by way of
// a redirect have that route as their path already.
func cutFunction(path string) string {
	rest, ok := strings.CutPrefix(path, "/.netlify/functions/")
	if !ok {
		return path
	}
	name, rest, _ := strings.Cut(rest, "/")
	if name == "" { // an unclean path is nowhere
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
