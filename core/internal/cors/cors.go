// Package cors decides which web pages may mint, by exact origins, preflights and Sec-Fetch-* headers. It is not
// authentication: clients other than browsers can send any Origin, or none.
package cors

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/orga-session/orga-session/core/internal/netaddr"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/platform"
)

// maxPreflight bounds the headers of a preflight, names and values together, in bytes. Browsers send a few hundred.
const maxPreflight = 8 << 10

// What pages of other origins may send, and may read of the answer.
var (
	allowMethods  = []string{"GET, POST, OPTIONS"}
	allowHeaders  = []string{"Authorization, Content-Type, X-Request-Id"}
	maxAge        = []string{"7200"} // seconds; Chromium's maximum
	exposeHeaders = []string{"Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Server-Timing"}
)

var (
	errOrigin    = errors.New("the origin is not listed")
	errCrossSite = errors.New("cross-site request without CORS (Sec-Fetch-Site, Sec-Fetch-Mode)")
)

// Policy decides which web pages may mint. It is immutable and safe for concurrent use; create one with [New].
// request.Handler sets the Vary header that its answers need.
type Policy struct{ origins map[string]bool }

// New allows the given origins, written as browsers send them: https://app.example, with a port only if it is not the
// scheme's default. Pages of the endpoint's own origin are always allowed if the client used https (r.TLS, or
// [platform.Info]) or the host is a loopback name. The error joins the faults of the entries, by position and without
// their text.
func New(origins []string) (*Policy, error) {
	c := &Policy{origins: make(map[string]bool, len(origins))}
	var faults []error
	for i, origin := range origins {
		if err := checkOrigin(origin); err != nil {
			faults = append(faults, fmt.Errorf("origin %d of %d %w", i+1, len(origins), err))
		}
		c.origins[origin] = true
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return c, nil
}

// Mint guards a mint. It answers preflights and refuses (403) pages of other origins, and cross-site
// requests without CORS, such as links, images and forms. Answers to allowed pages, including refusals by
// later layers, are readable by them. Requests without an Origin pass.
func (c *Policy) Mint(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			c.preflight(w, r)
			return
		}
		switch {
		case !c.decorate(w, r):
			request.Fail(w, r, problem.New(problem.Forbidden, unlisted(r.Header["Origin"])))
		case crossSite(r.Header):
			request.Fail(w, r, problem.New(problem.Forbidden, errCrossSite))
		default:
			x := request.From(r.Context())
			x.Origin = r.Header.Get("Origin")
			request.Logger(r.Context()).LogAttrs(r.Context(), slog.LevelDebug, "origin allowed", slog.String("origin", x.Origin))
			next.ServeHTTP(w, r)
		}
	})
}

// unlisted names the refused origin, so that the owner can list it. It does not repeat text that is not an origin.
func unlisted(origin []string) error {
	if len(origin) != 1 || len(origin[0]) > 300 || checkOrigin(origin[0]) != nil {
		return errOrigin
	}
	return fmt.Errorf("%w: %s", errOrigin, origin[0])
}

// Headers lets pages of allowed origins read the answer, but refuses nothing. It is for answers that do not mint.
func (c *Policy) Headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.decorate(w, r)
		next.ServeHTTP(w, r)
	})
}

// preflight answers OPTIONS. It lists what is allowed and lets the browser compare, so that a long list of requested
// headers costs nothing. Pages of other origins get no CORS headers. Requests from public pages to private networks are
// never granted.
func (c *Policy) preflight(w http.ResponseWriter, r *http.Request) {
	request.From(r.Context()).Quiet = true
	size := 0
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	if size > maxPreflight {
		request.Fail(w, r, problem.New(problem.HeadersTooLarge, nil))
		return
	}
	switch origin := r.Header["Origin"]; {
	case len(origin) == 0:
	case !c.allows(origin, r):
		// The browser does not send the request after this, and tells the page only that it failed, so the log is the only place
		// that shows the origin.
		x := request.From(r.Context())
		x.Quiet = false
		x.Refuse(problem.New(problem.Forbidden, unlisted(origin)))
	default:
		h := w.Header()
		h["Access-Control-Allow-Origin"] = origin
		h["Access-Control-Allow-Methods"] = allowMethods
		h["Access-Control-Allow-Headers"] = allowHeaders
		h["Access-Control-Max-Age"] = maxAge
	}
	w.WriteHeader(http.StatusNoContent)
}

// decorate sets the headers that let a page read the answer; it returns false if r's Origin is not allowed.
func (c *Policy) decorate(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header["Origin"]
	if len(origin) == 0 {
		return true
	}
	if !c.allows(origin, r) {
		return false
	}
	h := w.Header()
	h["Access-Control-Allow-Origin"] = origin
	h["Access-Control-Expose-Headers"] = exposeHeaders
	return true
}

// allows compares byte for byte with the list, and with the origin of the request's own address.
func (c *Policy) allows(origin []string, r *http.Request) bool {
	return len(origin) == 1 && (c.origins[origin[0]] || sameOrigin(origin[0], r))
}

// sameOrigin reports whether a page of this origin must belong to the host that r was sent to. Without https, a name proves
// nothing: the owner of evil.example may point it at this server once its page is loaded (DNS rebinding). A certificate,
// or a name that always means this machine, does.
func sameOrigin(origin string, r *http.Request) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	if !ok || host == "" || host != r.Host {
		return false
	}
	if netaddr.IsLoopback((&url.URL{Host: host}).Hostname()) {
		return scheme == "http" || scheme == "https"
	}
	return scheme == "https" && (r.TLS != nil || platform.From(r.Context()).HTTPS)
}

// crossSite reports whether Sec-Fetch-* show that another site caused the request, other than by CORS. Old browsers and
// other clients send no such headers, and pass.
func crossSite(h http.Header) bool {
	switch h.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin", "same-site":
		return false
	}
	return h.Get("Sec-Fetch-Mode") != "cors"
}
