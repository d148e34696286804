package core

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/cors"
	"github.com/orga-session/orga-session/core/internal/egress"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/telemetry"
	"github.com/orga-session/orga-session/core/internal/throttle"
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

// logStart writes an instance's first line: its version, and what its start waited for.
func (b *builder) logStart(ctx context.Context, waits []slog.Attr) {
	attrs := []slog.Attr{slog.String("version", Version)}
	if revision, _ := build(); revision != "" {
		attrs = append(attrs, slog.String("commit", revision))
	}
	attrs = append(attrs, millis("start_ms", time.Since(processStart)))
	b.log.LogAttrs(ctx, slog.LevelInfo, "started", append(attrs, waits...)...)
}

func millis(name string, d time.Duration) slog.Attr {
	return slog.Float64(name, float64(d.Microseconds())/1000)
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

func newBuilder(ctx context.Context, cfg Config, drivers Drivers) *builder {
	if cfg.Lookup == nil {
		cfg.Lookup = Env(nil).Lookup
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = defaultBaseURL
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if len(cfg.RateLimit) == 0 {
		cfg.RateLimit = ratelimit.Quotas{{N: 30, Per: time.Minute}}
	}
	log := cfg.logger(nil)
	watch := telemetry.Start(ctx, Version, cfg.Lookup, log)
	b := &builder{
		cfg: cfg, drivers: drivers, log: watch.Log(log), telemetry: watch,
		transport: drivers.Transport, tenantTransport: drivers.Transport,
		hmacKeys: make(map[string]*secretcache.Cache),
	}
	b.issuers.Log, b.tenantIssuers.Log = b.log, b.log
	b.issuers.Transport, b.tenantIssuers.Transport = drivers.Transport, drivers.Transport
	if drivers.Transport == nil {
		// Issuers have separate transports, because the connection opened ahead is for Orga.
		b.transport, b.issuers.Transport = b.connect(nil), b.connect(nil)
		b.tenantTransport, b.tenantIssuers.Transport = b.connect(egress.PublicOnly), b.connect(egress.PublicOnly)
		b.issuers.PublicTransport = b.tenantIssuers.Transport
	}
	if cfg.TenantClaim != "" {
		b.claim = &access.TenantClaim{Name: cfg.TenantClaim, Log: b.log}
	}
	for _, warning := range cfg.warnings {
		b.log.Warn("unknown setting", "cause", warning)
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} { // ignored for loopback addresses
		if proxy, _ := cfg.Lookup(name); proxy != "" && drivers.Transport == nil && strings.HasPrefix(cfg.BaseURL, "https:") {
			b.log.Warn("proxy ignored", "cause", name+" is set, and the endpoint connects directly")
			break
		}
	}
	for _, fault := range cfg.faults {
		b.keepFault(fault)
	}
	var err error
	if b.allowHosts, err = cors.AllowHosts(cfg.AllowedHosts); err != nil {
		b.allowHosts, _ = cors.AllowHosts(nil) // the setting's check reports the fault, and nothing is minted
	}
	limits := throttle.StoreOptions{Strict: cfg.RateLimitStrict, Log: b.log}
	if b.limiter, err = throttle.Open(drivers.Limiters, cfg.RateLimitStore.Reveal(), limits); err != nil {
		b.addFault("ORGA_RATE_LIMIT_STORE", err)
		b.limiter = throttle.NewStore(nil, limits)
	}
	b.close = append(b.close, b.limiter.Close)
	return b
}

// connect returns a transport that the endpoint closes.
func (b *builder) connect(guard egress.Guard) *egress.Transport {
	t := egress.New(guard)
	b.close = append(b.close, t.Close)
	return t
}

// warmTimeout bounds New's wait: an instance must start even if nothing answers.
const warmTimeout = 2 * time.Second

// warm prefetches what the first caller would wait for, and reads the tenants, whose faults are faults of the settings. It
// fetches keys even if there are other faults, so that a fault of a key does not surface only after the next deployment.
// The error has faults of keys, which may be fixed while the endpoint runs. waits has the duration of each part; the
// parts run concurrently.
func (b *builder) warm(ctx context.Context, r *router) (waits []slog.Attr, mendable error) {
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var parts []func() slog.Attr
	run := func(name string, part func()) {
		var took time.Duration
		parts = append(parts, func() slog.Attr { return millis(name, took) })
		wg.Go(func() {
			begun := time.Now()
			part()
			took = time.Since(begun)
		})
	}
	faults := make([]error, len(r.keys()))
	run("secret_ms", func() {
		var keys sync.WaitGroup
		for i, key := range r.keys() {
			keys.Go(func() { faults[i] = fetch(ctx, key) })
		}
		keys.Wait()
	})
	if len(b.faults) == 0 {
		if t, ok := b.transport.(*egress.Transport); ok {
			run("connect_ms", func() { t.Warm(ctx, b.cfg.BaseURL) })
		}
		run("limiter_ms", func() { _ = b.limiter.Ping(ctx) }) // if this fails, the first request reports it
	}
	if r.directory != nil {
		run("tenants_ms", func() { b.readTenants(ctx, r.directory) })
	}
	wg.Wait()
	for _, part := range parts {
		waits = append(waits, part())
	}
	for _, fault := range faults {
		if fault != nil {
			b.logFault(fault)
		}
	}
	return waits, errors.Join(faults...)
}

// fetch caches a key. Its error is a fault of the settings; the cache logs other failures.
func fetch(ctx context.Context, key *secretcache.Cache) error {
	_, err := key.Get(ctx)
	if fault, ok := errors.AsType[*settingError](err); ok {
		return fault
	}
	return nil
}

func (b *builder) readTenants(ctx context.Context, d *directory) {
	_, err := d.tenants(ctx)
	// Faults of the document have been added by now; a missing document is a fault, too.
	if fault, ok := errors.AsType[*settingError](err); ok && !d.faulty() {
		b.keepFault(fault)
	}
}
