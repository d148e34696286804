package core

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/cors"
	"github.com/orga-session/orga-session/core/internal/egress"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/internal/telemetry"
	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
)

// builder turns settings into chains and collects faults. It creates only once what tenants share: connections, the
// limiter, the verifier of an issuer, an HMAC key.
type builder struct {
	cfg       Config
	drivers   Drivers
	log       *slog.Logger
	telemetry *telemetry.Telemetry // nil if off

	transport       http.RoundTripper // for addresses named by the owner
	tenantTransport http.RoundTripper // for addresses named by tenants: public ones only
	allowHosts      func(http.Handler) http.Handler
	limiter         *throttle.Store
	issuers         auth.Issuers                  // named by the owner
	tenantIssuers   auth.Issuers                  // named by tenants: public addresses only
	claim           *access.TenantClaim           // nil if no claim is required
	hmacKeys        map[string]*secretcache.Cache // by source

	faults []error
	close  []func() error
}

// chain answers the mints of one tenant: host → cors → access → throttle → session.
type chain struct {
	http.Handler
	cors    *cors.Policy
	methods []access.Method
	keys    []*secretcache.Cache // secrets that a mint needs: the API key, and the HMAC key if it is used
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

func (b *builder) addFault(setting string, err error) { b.keepFault(&settingError{setting, err}) }

// keepFault stores a fault until the next start and logs it.
func (b *builder) keepFault(fault error) {
	b.faults = append(b.faults, fault)
	b.logFault(fault)
}

func (b *builder) logFault(fault error) { b.log.Error("misconfigured", "fault", fault.Error()) }

// check runs the checks of the settings table: those of t and, for the default tenant, those of the whole endpoint.
func (b *builder) check(s scope, t *Tenant) {
	for _, row := range settings {
		if row.check == nil || s != "" && row.Member == "" {
			continue
		}
		if err := row.check(&b.cfg, t); err != nil {
			b.addFault(s.name(row.Variable), err)
		}
	}
}

// chain builds the chain of the tenant called name, "" for the default one.
func (b *builder) chain(s scope, name string, t Tenant) *chain {
	if s != "" {
		b.check(s, &t)
	}
	c := &chain{cors: b.pages(t)}
	var hmacKey *secretcache.Cache
	c.methods, hmacKey = b.methods(s, t)
	key := b.key(s, t)
	for _, needed := range []*secretcache.Cache{key, hmacKey} {
		if needed != nil {
			c.keys = append(c.keys, needed)
		}
	}
	h := session.Handler(&session.Service{Key: key, Orga: b.client(t)})
	h = throttle.Middleware(throttle.Options{Limiter: b.limiter, Tenant: name, Caller: t.RateLimit, Budget: t.TenantRateLimit, Log: b.log})(h)
	h = access.Require(access.Options{Methods: c.methods, Claim: b.claim, Tenant: name, ClaimValue: t.ClaimValue})(h)
	c.Handler = b.hosts(t)(c.cors.Mint(h))
	return c
}

// hosts returns the guard of a tenant's hosts.
func (b *builder) hosts(t Tenant) func(http.Handler) http.Handler {
	if len(b.cfg.AllowedHosts) == 0 && slices.Contains(t.Auth, "anonymous") {
		return cors.LocalHosts
	}
	return b.allowHosts
}

// pages returns the policy for a tenant's origins.
func (b *builder) pages(t Tenant) *cors.Policy {
	pages, err := cors.New(t.CORSOrigins)
	if err != nil {
		pages, _ = cors.New(nil) // the setting's check reports the fault, and nothing is minted
	}
	return pages
}

// key returns a tenant's API key; nil if its source is a fault.
func (b *builder) key(s scope, t Tenant) *secretcache.Cache {
	setting := s.name("ORGA_API_KEY_SOURCE")
	src, name := t.APIKey, "Config.APIKey"
	if s != "" && src == nil && t.APIKeySource == "" {
		return nil // readTenant has reported the fault
	}
	if src == nil {
		if src, name = b.open(setting, t.APIKeySource, secretcache.CheckKey), t.APIKeySource; src == nil {
			return nil
		}
	}
	return secretcache.New(src, secretcache.Options{
		Name: name, TTL: t.APIKeyTTL, Log: b.log,
		// A misplaced token or another vendor's key is a common mistake, but only a warning: Orga may change the form of
		// its keys.
		OnChange: func(key secret.Secret) {
			if !strings.HasPrefix(key.Value.Reveal(), orga.KeyPrefix) {
				b.log.Warn("the API key does not start with "+orga.KeyPrefix, "source", name, "version", key.Version)
			}
		},
	})
}

// open opens the source named by a setting; nil if that is a fault. It fetches nothing, except from the environment: a
// variable cannot change, so its faults are faults of the settings.
func (b *builder) open(setting, ref string, check func(string) error) secret.Source {
	src, err := secret.Open(ref, b.drivers.Secrets, b.cfg.Lookup, check)
	if err == nil && strings.HasPrefix(ref, "env:") {
		_, err = src.Fetch(context.Background())
	}
	if err != nil {
		b.addFault(setting, err)
		return nil
	}
	return secret.SourceFunc(func(ctx context.Context) (secret.Secret, error) {
		s, err := src.Fetch(ctx)
		if errors.Is(err, secret.ErrMisconfigured) {
			err = &settingError{setting, err} // like faults found without a fetch
		}
		return s, err
	})
}

func (b *builder) client(t Tenant) *orga.Client {
	transport := b.transport
	if t.ownBaseURL {
		transport = b.tenantTransport
	}
	// Each request provides the current key (orga.Client.WithKey) and a deadline.
	return orga.NewClient("", orga.WithBaseURL(t.BaseURL), orga.WithUserEmail(t.UserEmail),
		orga.WithTransport(b.telemetry.Transport(transport)), orga.WithLogger(request.Stamp(b.log)))
}
