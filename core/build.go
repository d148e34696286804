package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/cors"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/internal/telemetry"
	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/orga"
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
	c.Handler = b.allowHosts(c.cors.Mint(h))
	return c
}

// pages returns the policy for a tenant's origins; the setting's check reports faults.
func (b *builder) pages(t Tenant) *cors.Policy {
	pages, err := cors.New(t.CORSOrigins)
	if err != nil {
		return cors.None()
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

// methods returns the authentication methods of a tenant, and the HMAC key if one is used.
func (b *builder) methods(s scope, t Tenant) (list []access.Method, hmacKey *secretcache.Cache) {
	setting := s.name("ORGA_AUTH")
	if len(t.Auth) == 0 {
		b.addFault(setting, errors.New("is not set: every mint is refused; want oidc, hmac, gateway or anonymous"))
	}
	if len(t.Auth) > 1 && slices.Contains(t.Auth, "anonymous") {
		b.addFault(setting, errors.New("anonymous accepts everybody; remove it or the other methods"))
	}
	for _, name := range t.Auth {
		var m access.Method
		switch name {
		case "anonymous":
			m = access.Anonymous()
			if t.AuthIssuer != "" && (s == "" || t.ownIssuer) {
				b.log.Warn("anonymous lets everybody in although an issuer is set", "setting", setting)
			}
		case "gateway":
			m = access.Gateway()
		case "hmac":
			m, hmacKey = b.hmac(s, t)
		case "oidc":
			m = b.issuer(s, t)
		default:
			if m = (access.Method{Name: name, Verifier: b.drivers.Verifiers[name]}); m.Verifier == nil {
				known := slices.Sorted(maps.Keys(b.drivers.Verifiers))
				b.addFault(setting, unknownWord("method", name, append([]string{"oidc", "hmac", "gateway", "anonymous"}, known...)))
			}
		}
		if m.Verifier != nil {
			list = append(list, m)
		}
	}
	return list, hmacKey
}

func (b *builder) hmac(s scope, t Tenant) (access.Method, *secretcache.Cache) {
	setting := s.name("ORGA_AUTH_HMAC_KEY_SOURCE")
	if t.HMACKeySource == "" {
		b.addFault(setting, errors.New("is not set; hmac requires it"))
		return access.Method{}, nil
	}
	keys, ok := b.hmacKeys[t.HMACKeySource]
	if !ok {
		src := b.open(setting, t.HMACKeySource, checkHMACKeys)
		if src == nil {
			return access.Method{}, nil
		}
		keys = secretcache.New(src, secretcache.Options{Name: t.HMACKeySource, TTL: b.cfg.APIKeyTTL, Log: b.log})
		b.hmacKeys[t.HMACKeySource] = keys
	}
	return access.HMAC(access.HMACConfig{Keys: func(ctx context.Context) (string, error) {
		key, err := keys.Get(ctx)
		if fetchErr, ok := errors.AsType[*secretcache.FetchError](err); ok {
			return "", session.SecretProblem(fetchErr)
		}
		return key.Value.Reveal(), err
	}}), keys
}

// checkHMACKeys checks HMAC keys, for [secret.Open].
func checkHMACKeys(text string) error {
	if err := access.CheckHMACKeys(text); err != nil {
		return fmt.Errorf("%w: it %w", secret.ErrMalformed, err)
	}
	return nil
}

// issuer returns the verifier for a tenant's issuer. An issuer named only by a tenant is restricted to public addresses.
func (b *builder) issuer(s scope, t Tenant) access.Method {
	issuers := &b.issuers
	if t.ownIssuer {
		issuers = &b.tenantIssuers
	}
	cfg := auth.OIDCConfig{Issuer: t.AuthIssuer, JWKSURL: t.AuthJWKSURL, Audiences: t.AuthAudience}
	if b.claim != nil {
		cfg.Claims = []string{b.claim.Name}
	}
	m, err := access.OIDC(issuers, cfg)
	if err != nil {
		b.addFault(strings.Join([]string{s.name("ORGA_AUTH_ISSUER"), s.name("ORGA_AUTH_AUDIENCE"), s.name("ORGA_AUTH_JWKS_URL")}, ", "), err)
	}
	return m
}
