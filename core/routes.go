package core

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/problem"
	"github.com/orga-session/orga-session/core/secret"
)

// mintRoutes are the two names of the mint route; a tenant's name may follow each.
var mintRoutes = []string{"/api/orga-client-secrets", "/api/orga-session"}

// isTenantName tells whether s is of the form [a-z0-9][a-z0-9-]{0,62}.
func isTenantName(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// endpoint finds the chain that answers a request. The checks come in the order of the contract:
// route, method, settings; all others belong to a tenant.
type endpoint struct {
	fault     error // the settings are wrong: nothing is minted
	home      *tenant
	directory *directory      // nil when there are no tenants but the default one
	keys      []*secret.Cache // what a mint for the default tenant needs: its key, and hmac's where that is in use
	stranger  http.Handler
	timeout   time.Duration // of a whole mint, whatever it waits for

	// What is answered before a tenant is known, with the default tenant's CORS headers.
	health, readiness                                 http.Handler
	notFound, mintMethod, healthMethod, misconfigured http.Handler
}

func (b *builder) endpoint() *endpoint {
	home := b.tenant("", "", b.cfg.Tenant)
	early := func(p *problem.Problem) http.Handler { return home.cors.Headers(refuse(p)) }
	e := &endpoint{
		home:          home,
		stranger:      b.stranger(home),
		timeout:       b.cfg.Timeout,
		notFound:      early(problem.New(problem.NotFound, nil)),
		mintMethod:    early(methods("GET, POST, OPTIONS")),
		healthMethod:  early(methods("GET, HEAD")),
		misconfigured: early(problem.New(problem.Misconfigured, errFaulty)),
	}
	e.health = home.cors.Headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := state{Status: "ok"}
		if r.URL.Query().Has("verbose") { // as Kubernetes' own probes have it
			answer.Version = Version
		}
		request.WriteJSON(w, http.StatusOK, "application/json", answer)
	}))
	e.readiness = home.cors.Headers(http.HandlerFunc(e.ready))
	for _, key := range []*secret.Cache{home.key, b.hmacKey} {
		if key != nil {
			e.keys = append(e.keys, key)
		}
	}
	if b.cfg.TenantsSource != "" {
		e.directory = b.directory()
	}
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// A body that never comes is no reason to wait longer than for anything else; the server would wait
		// for it before it sends even a refusal. Behind an adapter the whole body is there, and no deadline.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(e.timeout))
	}
	// The path as it was sent: an encoded slash is no slash, and an unclean path is nowhere.
	path := r.URL.EscapedPath()
	if path == "/healthz" || path == "/readyz" {
		request.From(r.Context()).Quiet = true
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			e.healthMethod.ServeHTTP(w, r)
		case path == "/healthz":
			e.health.ServeHTTP(w, r)
		default:
			e.readiness.ServeHTTP(w, r)
		}
		return
	}
	name, ok := mintRoute(path)
	switch {
	case !ok:
		e.notFound.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodOptions:
		e.mintMethod.ServeHTTP(w, r)
	case e.fault != nil:
		e.misconfigured.ServeHTTP(w, r)
	default:
		ctx, cancel := session.Budget(r.Context(), e.timeout)
		defer cancel()
		x := request.From(ctx)
		x.Tenant = name
		if x.Tracing() {
			x.Step(ctx, "route", slog.String("route", pattern(r)), slog.String("tenant", name))
		}
		e.tenant(ctx, r.Method, name).ServeHTTP(w, r.WithContext(ctx))
	}
}

// tenant is the chain that answers for a tenant, be there one of that name or not.
func (e *endpoint) tenant(ctx context.Context, method, name string) http.Handler {
	if name == "" {
		return e.home
	}
	if e.directory == nil {
		return e.stranger
	}
	tenants, err := e.directory.tenants(ctx)
	switch {
	case err != nil && method == http.MethodOptions && !e.directory.faulty():
		return e.home // a preflight is not refused, and the tenant's origins are not known yet
	case err != nil:
		return e.home.cors.Headers(refuse(err))
	}
	if t, ok := tenants[name]; ok {
		return t
	}
	return e.stranger
}

// mintRoute is the tenant that a mint path names, "" for the default one; false for any other path.
func mintRoute(path string) (name string, ok bool) {
	for _, route := range mintRoutes {
		rest, found := strings.CutPrefix(path, route)
		if !found {
			continue
		}
		if rest == "" {
			return "", true
		}
		if name, found = strings.CutPrefix(rest, "/"); found && isTenantName(name) {
			return name, true
		}
	}
	return "", false
}

// pattern is the route of a request's path, with the tenant's name left open; "" for none. It names
// the request to telemetry, where what a client made up must not become a name.
func pattern(r *http.Request) string {
	path := r.URL.EscapedPath()
	name, ok := mintRoute(path)
	switch {
	case path == "/healthz", path == "/readyz", ok && name == "":
		return path
	case ok:
		return strings.TrimSuffix(path, name) + "{tenant}"
	}
	return ""
}

// state is the body of a health or readiness answer.
type state struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"` // of /healthz?verbose
}

// ready answers 200 once what a mint for the default tenant needs is at hand.
func (e *endpoint) ready(w http.ResponseWriter, r *http.Request) {
	refused := e.unready(r.Context())
	if refused == nil {
		request.WriteJSON(w, http.StatusOK, "application/json", state{Status: "ready"})
		return
	}
	refused.HTTPStatus = http.StatusServiceUnavailable // whatever the reason, not ready is 503
	request.Fail(w, r, refused)
}

// unready is why the endpoint is not ready, nil when it is.
func (e *endpoint) unready(ctx context.Context) *problem.Problem {
	if e.fault != nil || e.directory != nil && e.directory.faulty() {
		return problem.New(problem.Misconfigured, errFaulty)
	}
	for _, key := range e.keys {
		err := key.Ready(ctx)
		if out, ok := errors.AsType[*secret.FetchError](err); ok {
			return session.SecretProblem(out)
		}
		if err != nil {
			return problem.New(problem.SecretUnavailable, err) // the checker went away
		}
	}
	return nil
}

func methods(allow string) *problem.Problem {
	return &problem.Problem{Code: problem.MethodNotAllowed, Header: http.Header{"Allow": {allow}}}
}

var (
	errFaulty       = errors.New("the settings are wrong; the log names each")
	forbiddenTenant = problem.New(problem.Forbidden, errors.New("there is no such tenant"))
)

// refuse answers every request with one problem.
func refuse(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { request.Fail(w, r, err) })
}
