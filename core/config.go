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

	Timeout         time.Duration // time budget of a whole request; 0 means 8 s
	Path            string        // additional path of the mint route; "" for none
	AllowedHosts    []string      // hosts for which mints are accepted; empty accepts any
	TenantClaim     string        // token claim that must equal the route's tenant; "" checks none
	TenantsSource   string        // where the tenants' JSON is stored (a [secret.Ref]); "" for none
	RateLimitStore  secret.Value  // memory (the default), or the URL of a store in [Drivers]; may contain a password
	RateLimitStrict bool          // refuse mints while the store is down, instead of counting per instance
	TrustedHops     int           // number of the owner's proxies between the platform's edge and the function
	GoogleIAM       bool          // Google's IAM admits only verified callers to this service
	NoWarmUp        bool          // New neither fetches keys nor opens connections

	Debug    bool // log each step; implies LogLevel debug
	LogLevel slog.Level
	// Log receives one line per request, faults and outages. nil writes JSON to standard error.
	Log *slog.Logger

	// Lookup reads the environment, for env: sources and OpenTelemetry. nil means that no variables are set.
	Lookup func(name string) (string, bool)

	faults   []error  // values that ConfigFromEnv could not read
	warnings []string // unknown variables
}

// Tenant has the settings that may differ between tenants.
type Tenant struct {
	APIKey          secret.Source    // the permanent key; nil opens APIKeySource
	APIKeySource    string           // where the permanent key is stored (a [secret.Ref])
	APIKeyTTL       time.Duration    // how long a fetched key stays fresh; 0 means 5 minutes
	BaseURL         string           // of the Orga API; "" means https://api.orga-ai.com
	UserEmail       string           // sent with each mint, if set
	Auth            []string         // oidc, hmac, gateway or the name of a verifier in [Drivers]: any one suffices; or anonymous alone
	AuthIssuer      string           // of oidc tokens
	AuthAudience    []string         // of oidc tokens: any one suffices
	AuthJWKSURL     string           // URL of the issuer's key set; "" discovers it
	HMACKeySource   string           // where the HMAC keys are stored (a [secret.Ref])
	ClaimValue      string           // value of Config.TenantClaim in this tenant's tokens; "" means the tenant's name
	CORSOrigins     []string         // exact origins of the pages that may mint
	RateLimit       ratelimit.Quotas // of each caller; nil means 30/1m, [ratelimit.Off] no limit
	TenantRateLimit ratelimit.Quotas // of all callers together (a budget); nil means no limit

	ownBaseURL, ownIssuer bool // set by the tenants' JSON, and so restricted to public addresses
	ownCredential         bool // an issuer, an audience or an HMAC key is set by the tenants' JSON
}

const (
	defaultTimeout = 8 * time.Second // Orga's clients give up after 10 s
	defaultBaseURL = "https://api.orga-ai.com"
)

// Env is an environment to read settings from: a process's, or a platform's equivalent.
type Env map[string]string

// Environ converts a list of NAME=value, such as [os.Environ], to an Env.
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

// ConfigFromEnv reads the settings from env; nothing else reads the environment. An empty variable counts as unset.
// Invalid values are stored in the Config, and [New] reports them together with all other faults.
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
		c.APIKeySource = "" // tenants only: no default tenant
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if warning := unknownVariable(name, env); warning != "" {
			c.warnings = append(c.warnings, warning)
		}
	}
	return c
}

// Unknown returns what is wrong with each variable that starts with ORGA_ and that nothing reads, probably because it is
// misspelled. [New] only warns of them, because another program may read them.
func (c Config) Unknown() []string { return slices.Clone(c.warnings) }

// logger returns c.Log or, if it is nil, a logger that writes JSON lines at the configured level to standard error. handler
// creates its handler; nil uses [slog.NewJSONHandler].
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

// hasDefaultTenant reports whether the route without a tenant can mint.
func (c Config) hasDefaultTenant() bool {
	return c.APIKey != nil || c.APIKeySource != "" || c.TenantsSource == ""
}
