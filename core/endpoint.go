package core

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/egress"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
)

// Drivers are the parts that differ between programs. A binary links only those that it passes.
type Drivers struct {
	// Secrets are secret stores by scheme, in addition to env: and file:.
	Secrets map[string]secret.Driver
	// Limiters are shared limiter stores by scheme, in addition to memory.
	Limiters map[string]ratelimit.Driver
	// Verifiers are additional methods of ORGA_AUTH by name, other than oidc, hmac, gateway and anonymous.
	Verifiers map[string]auth.Verifier
	// Transport makes all calls to Orga and to issuers. nil uses the endpoint's own transport, which restricts addresses
	// named by tenants to public ones. Any other transport must do the same.
	Transport http.RoundTripper
}

// Endpoint is the credential endpoint: an [http.Handler] for the mint routes and the health checks. It matches the whole
// path of a request, so mount it at /. It is safe for concurrent use; create one with [New] or [Start].
type Endpoint struct {
	handler http.Handler
	router  *router
	mint    func(http.Handler) http.Handler // the layers around every request
	cfg     Config
	faults  error
	close   []func() error
}

// Start is [New] for a program: it reads the settings from env, and makes the endpoint's logger the process's default, so
// that net/http's log lines are JSON, too, and quote no upstream text. handler creates the log handler, for platforms that
// rename attributes or count lines; nil uses [slog.NewJSONHandler].
func Start(ctx context.Context, env Env, drivers Drivers, handler func(io.Writer, *slog.HandlerOptions) slog.Handler) *Endpoint {
	egress.ReadAuthoritiesOnce(env.Lookup)
	cfg := ConfigFromEnv(env)
	cfg.Log = cfg.logger(handler)
	setDefault(cfg.Log)
	return New(ctx, cfg, drivers)
}

// New builds an endpoint from settings. The endpoint is always usable: faults of the settings are logged, one line each,
// and returned by [Endpoint.Faults]. An endpoint with faults answers health checks and refuses every mint (misconfigured),
// because a restart loop would hide the reason.
//
// New fetches the key, reads the tenants and opens a connection to Orga concurrently, for at most 2 s, so that the first
// caller does not wait for them. Set [Config].NoWarmUp to turn that off.
func New(ctx context.Context, cfg Config, drivers Drivers) *Endpoint {
	b := newBuilder(ctx, cfg, drivers)
	e := &Endpoint{cfg: b.cfg, router: b.router()}
	var mendable error
	var waits []slog.Attr
	if !b.cfg.NoWarmUp {
		waits, mendable = b.warm(ctx, e.router)
	}
	e.router.faulty = len(b.faults) > 0
	e.faults = errors.Join(errors.Join(b.faults...), mendable)
	e.mint = func(h http.Handler) http.Handler {
		return e.router.boundBody(b.telemetry.Handler(request.Handler(h, b.log), e.router.pattern))
	}
	e.handler = e.mint(e.router)
	e.close = append(e.close, b.close...)
	b.logStart(ctx, waits)
	return e
}

func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.handler.ServeHTTP(w, r) }

// Tenant returns a handler that mints for one tenant, "" for the default one, at any path.
func (e *Endpoint) Tenant(name string) http.Handler {
	return e.mint(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.router.serveMint(w, r, name) }))
}

// Faults returns all faults of the settings, joined, each with its setting's name and without its value; nil if there are
// none. A missing key file is a fault; once the file appears, the endpoint mints.
func (e *Endpoint) Faults() error { return e.faults }

// Config returns the settings, with defaults filled in.
func (e *Endpoint) Config() Config { return e.cfg }

// Close closes idle connections and flushes telemetry. Call it once all requests have ended.
func (e *Endpoint) Close() error {
	var errs []error
	for _, f := range e.close {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}
