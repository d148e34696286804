package core

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/session"
)

const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// router finds the chain for a request. Its checks are in the contract's order: route, method, settings; all later checks
// belong to a tenant.
type router struct {
	faulty    bool     // some settings are invalid: nothing is minted
	mintPaths []string // each may be followed by a tenant's name
	timeout   time.Duration

	defaultTenant *chain
	unknownTenant http.Handler
	directory     *directory // nil if there are no tenants

	// Answers given before the tenant is known, with the default tenant's CORS headers.
	health, readiness                                           http.Handler
	notFound, wrongMintMethod, wrongHealthMethod, misconfigured http.Handler
}

var (
	errFaulty        = errors.New("invalid settings; the log names each fault")
	errUnknownTenant = problem.New(problem.Forbidden, errors.New("unknown tenant"))
	errNoDefault     = problem.New(problem.Forbidden, errors.New("there is no default tenant: ORGA_API_KEY and ORGA_API_KEY_SOURCE are unset"))
)

func (b *builder) router() *router {
	b.check("", &b.cfg.Tenant)
	r := &router{
		mintPaths: []string{"/api/orga-client-secrets", "/api/orga-session"},
		timeout:   b.cfg.Timeout,
	}
	if b.cfg.Path != "" {
		r.mintPaths = append(r.mintPaths, b.cfg.Path)
	}
	if b.cfg.hasDefaultTenant() {
		r.defaultTenant = b.chain("", "", b.cfg.Tenant)
	} else {
		pages := b.pages(b.cfg.Tenant)
		r.defaultTenant = &chain{Handler: b.allowHosts(pages.Mint(refuse(errNoDefault))), cors: pages}
		if len(b.cfg.Auth) > 0 {
			r.defaultTenant.methods, _ = b.methods("", b.cfg.Tenant)
		}
	}
	// 401 without a credential, else 403, as for a tenant that the caller may not use: a caller without a credential cannot tell
	// it from a tenant that inherits authentication and origins.
	r.unknownTenant = b.hosts(b.cfg.Tenant)(r.defaultTenant.cors.Mint(access.Require(access.Options{Methods: r.defaultTenant.methods})(refuse(errUnknownTenant))))
	if b.cfg.TenantsSource != "" {
		r.directory = b.directory()
	}

	early := r.defaultTenant.cors.Headers
	r.notFound = early(refuse(problem.New(problem.NotFound, nil)))
	r.wrongMintMethod = early(refuse(wrongMethod("GET, POST, OPTIONS")))
	r.wrongHealthMethod = early(refuse(wrongMethod("GET, HEAD")))
	r.misconfigured = early(refuse(problem.New(problem.Misconfigured, errFaulty)))
	r.health = early(http.HandlerFunc(serveHealth))
	r.readiness = early(http.HandlerFunc(r.serveReadiness))
	return r
}

// keys returns the secrets that a mint for the default tenant needs.
func (r *router) keys() []*secretcache.Cache { return r.defaultTenant.keys }

func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	// The path as sent: an encoded slash is not a slash, and an unclean path is a 404.
	path := req.URL.EscapedPath()
	if path == healthPath || path == readyPath {
		r.serveHealthCheck(w, req, path)
		return
	}
	if tenant, ok := r.mintRoute(path); ok {
		r.serveMint(w, req, tenant)
		return
	}
	r.notFound.ServeHTTP(w, req)
}

// unreadTimeout is how long the server waits for a body that nobody has read.
const unreadTimeout = time.Second

// boundBody bounds the time to read a request's body. Otherwise the server would wait for it indefinitely, even before
// sending a refusal. Behind an adapter, the body is complete, and there is no deadline.
func (r *router) boundBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ContentLength != 0 {
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(r.timeout))
			defer func() { _ = control.SetReadDeadline(time.Now().Add(unreadTimeout)) }()
		}
		next.ServeHTTP(w, req)
	})
}

// serveMint answers a request for a tenant's session config at any path.
func (r *router) serveMint(w http.ResponseWriter, req *http.Request, tenant string) {
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodPost && req.Method != http.MethodOptions:
		r.wrongMintMethod.ServeHTTP(w, req)
	case r.faulty:
		r.misconfigured.ServeHTTP(w, req)
	default:
		ctx, cancel := session.Budget(req.Context(), r.timeout)
		defer cancel()
		x := request.From(ctx)
		x.Tenant = tenant
		request.Logger(ctx).LogAttrs(ctx, slog.LevelDebug, "route found", slog.String("route", r.pattern(req)), slog.String("tenant", tenant))
		r.tenant(ctx, req.Method, tenant).ServeHTTP(w, req.WithContext(ctx))
	}
}

// tenant returns the handler for a tenant's name, even if there is no such tenant.
func (r *router) tenant(ctx context.Context, method, name string) http.Handler {
	if name == "" {
		return r.defaultTenant
	}
	if r.directory == nil {
		return r.unknownTenant
	}
	tenants, err := r.directory.tenants(ctx)
	switch {
	case err != nil && method == http.MethodOptions && !r.directory.faulty():
		return r.defaultTenant // a preflight is not refused, and the tenant's origins are not known yet
	case err != nil:
		return r.defaultTenant.cors.Headers(refuse(err))
	}
	if c, ok := tenants[name]; ok {
		return c
	}
	return r.unknownTenant
}

// mintRoute returns the tenant that a mint path names, "" for the default one; false for any other path.
func (r *router) mintRoute(path string) (tenant string, ok bool) {
	for _, route := range r.mintPaths {
		rest, found := strings.CutPrefix(path, route)
		if !found {
			continue
		}
		if rest == "" {
			return "", true
		}
		if name, found := strings.CutPrefix(rest, "/"); found && isTenantName(name) {
			return name, true
		}
	}
	return "", false
}

// pattern returns the route of a request's path, with a placeholder for the tenant; "" for none. Telemetry names requests
// by it, because names chosen by clients would be unbounded.
func (r *router) pattern(req *http.Request) string {
	path := req.URL.EscapedPath()
	tenant, ok := r.mintRoute(path)
	switch {
	case path == healthPath, path == readyPath, ok && tenant == "":
		return path
	case ok:
		return strings.TrimSuffix(path, tenant) + "{tenant}"
	}
	return ""
}

func (r *router) serveHealthCheck(w http.ResponseWriter, req *http.Request, path string) {
	request.From(req.Context()).Quiet = true
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		r.wrongHealthMethod.ServeHTTP(w, req)
	case path == healthPath:
		r.health.ServeHTTP(w, req)
	default:
		r.readiness.ServeHTTP(w, req)
	}
}

// status is the body of a health or readiness answer.
type status struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"` // of /healthz?verbose
}

func serveHealth(w http.ResponseWriter, req *http.Request) {
	answer := status{Status: "ok"}
	if req.URL.Query().Has("verbose") { // as in Kubernetes
		answer.Version = Version
	}
	request.WriteJSON(w, http.StatusOK, "application/json", answer)
}

// serveReadiness answers 200 once everything that a mint needs is available, else 503.
func (r *router) serveReadiness(w http.ResponseWriter, req *http.Request) {
	if refusal := r.unready(req.Context()); refusal != nil {
		unavailable := *refusal // which mints may be answered with as well
		unavailable.HTTPStatus = http.StatusServiceUnavailable
		request.Fail(w, req, &unavailable)
		return
	}
	request.WriteJSON(w, http.StatusOK, "application/json", status{Status: "ready"})
}

// unready returns why the endpoint is not ready, nil if it is.
func (r *router) unready(ctx context.Context) *problem.Problem {
	if r.faulty || r.directory != nil && r.directory.faulty() {
		return problem.New(problem.Misconfigured, errFaulty)
	}
	if len(r.keys()) == 0 && r.directory != nil { // tenants only
		return r.directory.ready(ctx)
	}
	for _, key := range r.keys() {
		if err := key.Ready(ctx); err != nil {
			return session.SecretProblem(err)
		}
	}
	return nil
}

func wrongMethod(allow string) *problem.Problem {
	return &problem.Problem{Code: problem.MethodNotAllowed, Header: http.Header{"Allow": {allow}}}
}

// refuse answers every request with one problem.
func refuse(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { request.Fail(w, req, err) })
}
