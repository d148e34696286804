package core

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/cors"
	"github.com/orga-session/orga-session/core/internal/egress"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/internal/telemetry"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
)

// builder turns settings into handlers, and collects what is wrong with them on the way. What tenants
// may share (the way to Orga, the limiter, the verifier of one issuer) it makes once.
type builder struct {
	cfg     Config
	drivers Drivers
	log     *slog.Logger

	telemetry *telemetry.Telemetry // nil for none

	direct  *egress.Transport // to the default tenant's Orga, which may be a loopback one
	guarded *egress.Transport // to those that tenants name: public addresses only
	limiter *ratelimit.Store
	hmacKey *secret.Cache // nil when no tenant asks for hmac

	issuers       auth.Issuers      // of the settings
	tenantIssuers auth.Issuers      // of tenants' own: public addresses only
	claim         *auth.TenantClaim // nil when no claim is asked for

	faults []error
}

// tenant is one tenant's chain, from CORS to the mint, and the key at the end of it.
type tenant struct {
	http.Handler
	key  *secret.Cache
	cors *cors.Policy
	auth []auth.Method
}

func newBuilder(ctx context.Context, cfg Config, drivers Drivers, log *slog.Logger) *builder {
	if cfg.Lookup == nil {
		cfg.Lookup = func(string) (string, bool) { return "", false }
	}
	watch := telemetry.Start(ctx, Version, cfg.Lookup, log)
	b := &builder{
		cfg: cfg, drivers: drivers, log: watch.Log(log), telemetry: watch,
		direct: egress.New(nil), guarded: egress.New(egress.PublicOnly),
	}
	// Transports of their own: a connection that is opened ahead is Orga's.
	b.issuers.Transport, b.issuers.Log = egress.New(nil), b.log
	b.tenantIssuers.Transport, b.tenantIssuers.Log = egress.New(egress.PublicOnly), b.log
	if cfg.TenantClaim != "" {
		b.claim = &auth.TenantClaim{Name: cfg.TenantClaim, Log: b.log}
	}
	for _, fault := range cfg.faults {
		b.report(fault)
	}
	if b.cfg.BaseURL == "" {
		b.cfg.BaseURL = orga.DefaultBaseURL
	}
	if b.cfg.Timeout <= 0 {
		b.cfg.Timeout = DefaultTimeout
	}
	if len(b.cfg.RateLimit) == 0 {
		b.cfg.RateLimit = defaultRateLimit
	}
	b.limiter = b.newLimiter()
	return b
}

func (b *builder) newLimiter() *ratelimit.Store {
	options := ratelimit.StoreOptions{Strict: b.cfg.RateLimitStrict, Log: b.log}
	store, err := b.drivers.Limiters.Open(b.cfg.RateLimitStore.Reveal(), options)
	if err != nil {
		b.fault("ORGA_RATE_LIMIT_STORE", err)
		return ratelimit.NewStore(nil, options)
	}
	return store
}

// scope names the settings of one tenant in its faults: by their variables for the default tenant, by
// the members of the tenants' JSON for all others, for which it is what they stand behind.
type scope string

func (s scope) name(variable, member string) string {
	if s == "" {
		return variable
	}
	return string(s) + ": " + member
}

// settingError is what is wrong with a setting, or with what it names.
type settingError struct {
	setting string
	err     error
}

func (e *settingError) Error() string { return e.setting + ": " + e.err.Error() }
func (e *settingError) Unwrap() error { return e.err }

func (b *builder) fault(setting string, err error) {
	b.report(&settingError{setting, err})
}

// report keeps a fault for good and logs it, once.
func (b *builder) report(fault error) {
	b.faults = append(b.faults, fault)
	b.tell(fault)
}

// tell is where every fault is logged.
func (b *builder) tell(fault error) {
	b.log.Error("misconfigured", "fault", fault.Error())
}

// tenant builds the chain of the tenant called name ("" for the default one).
func (b *builder) tenant(s scope, name string, t Tenant) *tenant {
	pages, err := cors.New(t.CORSOrigins)
	if err != nil {
		b.fault(s.name("ORGA_CORS_ORIGINS", "corsOrigins"), err)
		pages, _ = cors.New(nil) // no origins are always right
	}
	built := &tenant{cors: pages, auth: b.methods(s, t), key: b.key(s, t)}
	service := &session.Service{Key: built.key, Orga: b.client(s, t), Log: request.Stamp(b.log)}

	h := session.Handler(service)
	h = ratelimit.Middleware(ratelimit.Options{Limiter: b.limiter, Tenant: name, Caller: t.RateLimit, Budget: t.TenantRateLimit, Log: b.log})(h)
	h = auth.Require(auth.Options{Methods: built.auth, Claim: b.claim, Tenant: name})(h)
	h = pages.Mint(h)
	built.Handler = h
	return built
}

// stranger answers for a tenant that does not exist: as for one that the caller may not use.
func (b *builder) stranger(home *tenant) http.Handler {
	h := refuse(forbiddenTenant)
	h = auth.Require(auth.Options{Methods: home.auth})(h)
	return home.cors.Mint(h)
}

// open opens the source that a setting names; nil when that is a fault. Nothing is fetched, but from the
// environment, which cannot change: what is wrong there is wrong now.
func (b *builder) open(setting, ref string, decode secret.Decoder) secret.Source {
	src, err := b.drivers.Secrets.Open(ref, b.cfg.Lookup, decode)
	if err == nil && strings.HasPrefix(ref, "env:") {
		_, err = src.Fetch(context.Background())
	}
	if err != nil {
		b.fault(setting, err)
		return nil
	}
	return named(setting, src)
}

// named is src whose faults name the setting that led there, as those that are found without a fetch do.
func named(setting string, src secret.Source) secret.Source {
	return secret.SourceFunc(func(ctx context.Context) (secret.Secret, error) {
		s, err := src.Fetch(ctx)
		if errors.Is(err, secret.ErrMisconfigured) {
			err = &settingError{setting, err}
		}
		return s, err
	})
}

// key is a tenant's key; nil when its source is a fault.
func (b *builder) key(s scope, t Tenant) *secret.Cache {
	if s != "" && t.APIKeySource == "" {
		return nil // inherit has said so
	}
	src := b.open(s.name("ORGA_API_KEY_SOURCE", "apiKeySource"), t.APIKeySource, secret.DecodeKey)
	if src == nil {
		return nil
	}
	return secret.NewCache(src, secret.CacheOptions{
		Name: t.APIKeySource, TTL: t.APIKeyTTL, Log: b.log,
		OnChange: func(s secret.Secret) { b.checkPrefix(s, t.APIKeySource) },
	})
}

// checkPrefix warns of a key that does not look like one of Orga's: a token or another vendor's key in its
// place is a common mistake, but Orga may change what its keys look like.
func (b *builder) checkPrefix(s secret.Secret, source string) {
	if !strings.HasPrefix(s.Value.Reveal(), orga.KeyPrefix) {
		b.log.Warn("the API key does not start with "+orga.KeyPrefix, "source", source, "version", s.Version)
	}
}

func (b *builder) client(s scope, t Tenant) *orga.Client {
	if err := egress.CheckBaseURL(t.BaseURL, t.ownBaseURL); err != nil {
		b.fault(s.name("ORGA_BASE_URL", "baseURL"), err)
	}
	if t.UserEmail != "" && !strings.Contains(t.UserEmail, "@") {
		b.fault(s.name("ORGA_USER_EMAIL", "userEmail"), errors.New("is no email address"))
	}
	way := b.direct // where the default tenant goes
	if t.ownBaseURL {
		way = b.guarded
	}
	return orga.NewClient("", // each request has the key of the moment, and a budget that bounds its calls
		orga.WithBaseURL(t.BaseURL), orga.WithUserEmail(t.UserEmail),
		orga.WithTransport(b.telemetry.Transport(way)), orga.WithLogger(request.Stamp(b.log)))
}
