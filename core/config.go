package core

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
)

// Config is everything that can be set. Its zero value is closed: it mints for nobody.
type Config struct {
	// Tenant is the default tenant: who asks without naming one. Tenants of their own inherit from it
	// what they leave out, but for the key.
	Tenant

	HMACKeySource   string        // where the hmac key is kept (a secret.Ref)
	TenantClaim     string        // the token claim that must equal the tenant of the route
	Timeout         time.Duration // of a whole request, answer included; 0 is DefaultTimeout
	RateLimitStore  secret.Value  // memory (as when empty), or what Drivers.Limiters open; a URL may have a password in it
	RateLimitStrict bool          // refuse while the store is down, rather than count alone
	TrustedHops     int           // the owner's proxies between the platform's edge and the function
	TenantsSource   string        // where the tenants' JSON is kept (a secret.Ref); "" for none
	GoogleIAM       bool          // Google's IAM lets callers through to this service, and only those that it verified
	Debug           bool          // trace each step; LogLevel is debug then
	LogLevel        slog.Level

	// Lookup reads the environment for env: sources; nil knows no variable.
	Lookup func(string) (string, bool)

	faults []error // what ConfigFromEnv could not read
}

// DefaultTimeout bounds a request: clients give up at 10 s.
const DefaultTimeout = 8 * time.Second

// defaultRateLimit is a caller's, where none is set.
var defaultRateLimit = ratelimit.Quotas{{N: 30, Per: time.Minute}}

// Tenant is what may differ from one tenant to the next.
type Tenant struct {
	APIKeySource    string        // where the permanent key is kept (a secret.Ref)
	APIKeyTTL       time.Duration // how long a fetched key is fresh; 0 is secret.DefaultTTL
	BaseURL         string        // of the Orga API; "" is orga.DefaultBaseURL
	UserEmail       string        // sent with a mint when set
	Auth            []string      // oidc, hmac, gateway: any one suffices; or anonymous alone
	AuthIssuer      string
	AuthAudience    string
	AuthJWKSURL     string // "" has it discovered from the issuer
	CORSOrigins     []string
	RateLimit       ratelimit.Quotas // of each caller; nil is 30/1m, ratelimit.Off no limit
	TenantRateLimit ratelimit.Quotas // of all callers together; nil is no limit

	ownBaseURL bool // a tenant named BaseURL itself, and it may lead to public addresses only
}

// ConfigFromEnv reads the settings through lookup, which is os.LookupEnv in a program; nothing else
// reads the environment. A variable that is set to nothing counts as not set. What does not parse is
// kept in the Config and reported by New, together with all else that is wrong.
func ConfigFromEnv(lookup func(string) (string, bool)) Config {
	p := parser{lookup: lookup}
	c := Config{
		Tenant: Tenant{
			APIKeySource:    p.text("ORGA_API_KEY_SOURCE", "env:ORGA_API_KEY"),
			APIKeyTTL:       p.duration("ORGA_API_KEY_TTL", secret.DefaultTTL),
			BaseURL:         p.text("ORGA_BASE_URL", orga.DefaultBaseURL),
			UserEmail:       p.text("ORGA_USER_EMAIL", ""),
			Auth:            p.list("ORGA_AUTH"),
			AuthIssuer:      p.text("ORGA_AUTH_ISSUER", ""),
			AuthAudience:    p.text("ORGA_AUTH_AUDIENCE", ""),
			AuthJWKSURL:     p.text("ORGA_AUTH_JWKS_URL", ""),
			CORSOrigins:     p.list("ORGA_CORS_ORIGINS"),
			RateLimit:       p.quota("ORGA_RATE_LIMIT", defaultRateLimit),
			TenantRateLimit: p.quota("ORGA_TENANT_RATE_LIMIT", ratelimit.Off),
		},
		HMACKeySource:   p.text("ORGA_AUTH_HMAC_KEY_SOURCE", ""),
		TenantClaim:     p.text("ORGA_AUTH_TENANT_CLAIM", ""),
		Timeout:         p.duration("ORGA_TIMEOUT", DefaultTimeout),
		RateLimitStore:  secret.NewValue(p.text("ORGA_RATE_LIMIT_STORE", "memory")),
		RateLimitStrict: p.bool("ORGA_RATE_LIMIT_STRICT"),
		TrustedHops:     p.hops("ORGA_TRUSTED_HOPS"),
		TenantsSource:   p.text("ORGA_TENANTS_SOURCE", ""),
		GoogleIAM:       p.bool("ORGA_GCP_IAM_REQUIRED"),
		Debug:           p.bool("ORGA_DEBUG"),
		LogLevel:        p.level("ORGA_LOG_LEVEL"),
		Lookup:          lookup,
	}
	c.faults = p.faults
	return c
}

// Logger writes JSON lines to standard error, from the configured level on. replace may rename the
// attributes to what a platform expects; nil leaves them.
func (c Config) Logger(replace func(groups []string, a slog.Attr) slog.Attr) *slog.Logger {
	level := c.LogLevel
	if c.Debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: replace}))
}

// parser turns texts into settings, and collects what is wrong with them by name, never by value.
type parser struct {
	lookup func(string) (string, bool)
	faults []error
}

func (p *parser) fault(name, format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
}

func (p *parser) text(name, def string) string {
	if v, _ := p.lookup(name); strings.TrimSpace(v) != "" {
		return strings.TrimSpace(v)
	}
	return def
}

func (p *parser) list(name string) []string { return splitList(p.text(name, "")) }

// splitList reads a comma-separated list; empty entries are dropped.
func splitList(s string) []string {
	var list []string
	for entry := range strings.SplitSeq(s, ",") {
		if entry = strings.TrimSpace(entry); entry != "" && !slices.Contains(list, entry) {
			list = append(list, entry)
		}
	}
	return list
}

func (p *parser) duration(name string, def time.Duration) time.Duration {
	return p.durationIn(name, p.text(name, ""), def)
}

// maxDuration keeps sums of durations, and of one and the time of day, from overflowing.
const maxDuration = 365 * 24 * time.Hour

func (p *parser) durationIn(name, text string, def time.Duration) time.Duration {
	if text == "" {
		return def
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d <= 0:
		p.fault(name, "is not a duration above zero; write it as 90s, 5m or 1h30m")
		return def
	case d > maxDuration:
		p.fault(name, "is longer than a year (8760h)")
		return def
	}
	return d
}

func (p *parser) quota(name string, def ratelimit.Quotas) ratelimit.Quotas {
	return p.quotaIn(name, p.text(name, ""), def)
}

func (p *parser) quotaIn(name, text string, def ratelimit.Quotas) ratelimit.Quotas {
	if text == "" {
		return def
	}
	quotas, err := ratelimit.ParseQuotas(text)
	if err != nil {
		p.fault(name, "%w", err)
		return def
	}
	return quotas
}

func (p *parser) bool(name string) bool {
	b, err := strconv.ParseBool(p.text(name, "false"))
	if err != nil {
		p.fault(name, "is neither true nor false")
	}
	return b
}

func (p *parser) hops(name string) int {
	n, err := strconv.Atoi(p.text(name, "0"))
	if err != nil || n < 0 || n > 16 {
		p.fault(name, "is not a number of proxies from 0 to 16")
		return 0
	}
	return n
}

func (p *parser) level(name string) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[strings.ToLower(p.text(name, "info"))]
	if !ok {
		p.fault(name, "is none of debug, info, warn and error")
	}
	return level
}
