package core

import (
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
)

// Config has all settings. The zero Config refuses every mint.
type Config struct {
	// Tenant is the default tenant, which serves the route without a tenant. Other tenants inherit its
	// settings, except the key.
	Tenant

	Timeout         time.Duration // budget of a whole request, answer included; 0 is DefaultTimeout
	Path            string        // one more path of the mint route; "" for none
	AllowedHosts    []string      // hosts that mints are served at; empty allows any
	TenantClaim     string        // token claim that must equal the tenant of the route; "" checks none
	TenantsSource   string        // where the tenants' JSON is kept (a [secret.Ref]); "" for none
	RateLimitStore  secret.Value  // memory (as when empty), or the URL of a store in [Drivers]; may hold a password
	RateLimitStrict bool          // refuse while the store is down, rather than count per instance
	TrustedHops     int           // the owner's proxies between the platform's edge and the function
	GoogleIAM       bool          // Google's IAM lets only verified callers reach this service
	NoWarmUp        bool          // New fetches no key and opens no connection ahead

	Debug    bool // trace each step; LogLevel is debug then
	LogLevel slog.Level
	// Log receives one line per request, and faults and outages. nil writes JSON to standard error.
	Log *slog.Logger

	// Lookup reads the environment, for env: sources and OpenTelemetry. nil has no variables.
	Lookup func(name string) (string, bool)

	faults   []error  // values that ConfigFromEnv could not read
	warnings []string // variables that it does not know
}

// Tenant is what may differ from one tenant to the next.
type Tenant struct {
	APIKey          secret.Source    // the permanent key; nil opens APIKeySource
	APIKeySource    string           // where the permanent key is kept (a [secret.Ref])
	APIKeyTTL       time.Duration    // how long a fetched key is fresh; 0 is [secret.DefaultTTL]
	BaseURL         string           // of the Orga API; "" is [orga.DefaultBaseURL]
	UserEmail       string           // sent with a mint when set
	Auth            []string         // oidc, hmac, gateway or the name of a verifier in [Drivers]: any one suffices; or anonymous alone
	AuthIssuer      string           // of oidc tokens
	AuthAudience    []string         // of oidc tokens: any one suffices
	AuthJWKSURL     string           // where the issuer's keys are; "" discovers it
	HMACKeySource   string           // where the hmac keys are kept (a [secret.Ref])
	ClaimValue      string           // value of Config.TenantClaim in this tenant's tokens; "" is the tenant's name
	CORSOrigins     []string         // exact origins of the pages that may mint
	RateLimit       ratelimit.Quotas // of each caller; nil is 30/1m, [ratelimit.Off] no limit
	TenantRateLimit ratelimit.Quotas // of all callers together, a budget; nil is no limit

	ownBaseURL, ownIssuer bool // the tenants' JSON names them, and they may lead to public addresses only
}

// DefaultTimeout bounds a request: Orga's clients give up at 10 s.
const DefaultTimeout = 8 * time.Second

// Env is the environment that settings are read from: a process's, or what a platform has instead.
type Env map[string]string

// Environ makes an Env from a list of NAME=value, such as [os.Environ].
func Environ(list []string) Env {
	env := make(Env, len(list))
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}

// Lookup returns a variable and reports whether it is set, as [os.LookupEnv] does.
func (e Env) Lookup(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

// ConfigFromEnv reads the settings from env; nothing else reads the environment. An empty variable counts
// as unset. Values that cannot be read are kept in the Config and reported by [New], together with all
// other faults.
func ConfigFromEnv(env Env) Config {
	c := Config{Lookup: env.Lookup}
	for _, s := range settings {
		if s.read == nil {
			continue
		}
		text := strings.TrimSpace(env[s.Variable])
		if text == "" {
			text = s.Default
		}
		if text == "" {
			continue
		}
		if err := s.read(&c, &c.Tenant, text); err != nil {
			c.faults = append(c.faults, &settingError{s.Variable, err})
		}
	}
	if c.TenantsSource != "" && env["ORGA_API_KEY"] == "" && env["ORGA_API_KEY_SOURCE"] == "" {
		c.APIKeySource = "" // tenants only: there is no default tenant
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if warning := unknownVariable(name, env); warning != "" {
			c.warnings = append(c.warnings, warning)
		}
	}
	return c
}

// Logger returns c.Log or, where that is nil, a logger that writes JSON lines to w from the configured
// level on. handler makes its handler; nil is [slog.NewJSONHandler].
func (c Config) logger(handler func(io.Writer, *slog.HandlerOptions) slog.Handler) *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	level := c.LogLevel
	if c.Debug {
		level = slog.LevelDebug
	}
	options := &slog.HandlerOptions{Level: level}
	if handler == nil {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(handler(os.Stderr, options))
}

// hasDefaultTenant reports whether the route without a tenant mints.
func (c Config) hasDefaultTenant() bool {
	return c.APIKey != nil || c.APIKeySource != "" || c.TenantsSource == ""
}
