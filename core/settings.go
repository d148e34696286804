package core

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/internal/cors"
	"github.com/orga-session/orga-session/core/internal/egress"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/internal/spelling"
)

// Setting describes one setting: its environment variable, its member of the tenants' JSON (if tenants may override it)
// and its meaning. [Settings] lists all of them.
type Setting struct {
	Variable string // ORGA_… in the environment; "" for a setting of tenants only
	Member   string // in the tenants' JSON; "" if tenants cannot override it
	Default  string // as written in the variable; "" if there is none
	Secret   bool   // the value may contain a credential and must not be printed
	Meaning  string // one line

	read  func(c *Config, t *Tenant, text string) error // called with a non-empty value
	check func(c *Config, t *Tenant) error              // validates a Config, which may have been built by hand; nil if any value is valid
	list  bool                                          // an array of strings in JSON, comma-separated in the environment
}

// Settings lists every setting in the order of docs/settings.md, including those that drivers read.
func Settings() []Setting { return slices.Clone(settings) }

// settings is the single table of settings, used for the environment, the tenants' JSON, the names in faults, --help,
// docs/settings.md, the schema, the template and the deploy tool.
var settings = []Setting{
	{
		Variable: "ORGA_API_KEY", Secret: true,
		Meaning: "the permanent API key, read by the default source `env:ORGA_API_KEY`",
	},
	{
		Variable: "ORGA_API_KEY_SOURCE", Member: "apiKeySource", Default: "env:ORGA_API_KEY",
		Meaning: "where the API key is stored, as SCHEME:NAME, such as `env:NAME`, `file:/path` or `awssm:NAME`; append `#field` for a JSON secret (docs/secrets.md)",
		read:    func(_ *Config, t *Tenant, s string) error { t.APIKeySource = s; return nil },
	},
	{
		Variable: "ORGA_API_KEY_TTL", Member: "apiKeyTTL", Default: "5m",
		Meaning: "how long a fetched key stays fresh",
		read:    func(_ *Config, t *Tenant, s string) error { return readDuration(&t.APIKeyTTL, s) },
	},
	{
		Variable: "ORGA_BASE_URL", Member: "baseURL", Default: defaultBaseURL,
		Meaning: "base URL of the Orga API; http only for a loopback host",
		read:    func(_ *Config, t *Tenant, s string) error { t.BaseURL = s; return nil },
		check:   func(_ *Config, t *Tenant) error { return egress.CheckBaseURL(t.BaseURL, t.ownBaseURL) },
	},
	{
		Variable: "ORGA_USER_EMAIL", Member: "userEmail",
		Meaning: "sent with each mint as `?email=`; only older Orga accounts need it",
		read:    func(_ *Config, t *Tenant, s string) error { t.UserEmail = s; return nil },
		check: func(_ *Config, t *Tenant) error {
			if t.UserEmail != "" && !strings.Contains(t.UserEmail, "@") {
				return errors.New("must be an email address")
			}
			return nil
		},
	},
	{
		Variable: "ORGA_TIMEOUT", Default: "8s",
		Meaning: "time budget of a whole request, retries included",
		read:    func(c *Config, _ *Tenant, s string) error { return readDuration(&c.Timeout, s) },
	},
	{
		Variable: "ORGA_PATH",
		Meaning:  "additional path of the mint route, such as `/api/orga/session`",
		read:     func(c *Config, _ *Tenant, s string) error { c.Path = s; return nil },
		check:    func(c *Config, _ *Tenant) error { return checkPath(c.Path) },
	},
	{
		Variable: "ORGA_ALLOWED_HOSTS", list: true,
		Meaning: "hosts for which mints are accepted, comma-separated; unset accepts any",
		read:    func(c *Config, _ *Tenant, s string) error { c.AllowedHosts = splitList(s); return nil },
		check:   func(c *Config, _ *Tenant) error { _, err := cors.AllowHosts(c.AllowedHosts); return err },
	},
	{
		Variable: "ORGA_AUTH", Member: "auth",
		Meaning: "`oidc`, `hmac`, `gateway`, comma-separated (any one suffices), or `anonymous`; until it is set, every mint is refused",
		read:    func(_ *Config, t *Tenant, s string) error { t.Auth = splitList(s); return nil },
	},
	{
		Variable: "ORGA_AUTH_ISSUER", Member: "authIssuer",
		Meaning: "for `oidc`: the issuer, exactly as in its tokens",
		read:    func(_ *Config, t *Tenant, s string) error { t.AuthIssuer = s; return nil },
	},
	{
		Variable: "ORGA_AUTH_AUDIENCE", Member: "authAudience",
		Meaning: "for `oidc`: the audience that tokens must have, or several, comma-separated; any one suffices",
		read:    func(_ *Config, t *Tenant, s string) error { t.AuthAudience = splitList(s); return nil },
	},
	{
		Variable: "ORGA_AUTH_JWKS_URL", Member: "authJWKSURL",
		Meaning: "for `oidc`: URL of the issuer's key set; discovered from the issuer if unset",
		read:    func(_ *Config, t *Tenant, s string) error { t.AuthJWKSURL = s; return nil },
	},
	{
		Variable: "ORGA_AUTH_TENANT_CLAIM",
		Meaning:  "token claim that must equal the route's tenant; write nested claims with dots",
		read:     func(c *Config, _ *Tenant, s string) error { c.TenantClaim = s; return nil },
	},
	{
		Member:  "claimValue",
		Meaning: "value of the tenant claim in this tenant's tokens; the tenant's name if omitted",
		read:    func(_ *Config, t *Tenant, s string) error { t.ClaimValue = s; return nil },
	},
	{
		Variable: "ORGA_AUTH_HMAC_KEY_SOURCE", Member: "authHMACKeySource",
		Meaning: "for `hmac`: where the shared key is stored, in the syntax of `ORGA_API_KEY_SOURCE`",
		read:    func(_ *Config, t *Tenant, s string) error { t.HMACKeySource = s; return nil },
	},
	{
		Variable: "ORGA_CORS_ORIGINS", Member: "corsOrigins", list: true,
		Meaning: "exact origins of the pages that may mint, comma-separated",
		read:    func(_ *Config, t *Tenant, s string) error { t.CORSOrigins = splitList(s); return nil },
		check:   func(_ *Config, t *Tenant) error { _, err := cors.New(t.CORSOrigins); return err },
	},
	{
		Variable: "ORGA_RATE_LIMIT", Member: "rateLimit", Default: "30/1m",
		Meaning: "mints allowed per caller, as COUNT/PERIOD; several windows as `30/1m,500/24h`; or `off`",
		read:    func(_ *Config, t *Tenant, s string) error { return readQuotas(&t.RateLimit, s) },
		check:   func(_ *Config, t *Tenant) error { return t.RateLimit.Check() },
	},
	{
		Variable: "ORGA_TENANT_RATE_LIMIT", Member: "tenantRateLimit", Default: "off",
		Meaning: "mints allowed for all callers of a tenant together (a budget), in the same syntax",
		read:    func(_ *Config, t *Tenant, s string) error { return readQuotas(&t.TenantRateLimit, s) },
		check:   func(_ *Config, t *Tenant) error { return t.TenantRateLimit.Check() },
	},
	{
		Variable: "ORGA_RATE_LIMIT_STORE", Default: "memory", Secret: true,
		Meaning: "`memory` (each instance counts alone), `dynamodb:TABLE`, `redis://…`, `rediss://…`, `https://TOKEN@HOST` (Redis over HTTPS); only those that the program links",
		read:    func(c *Config, _ *Tenant, s string) error { c.RateLimitStore = secret.NewValue(s); return nil },
	},
	{
		Variable: "ORGA_RATE_LIMIT_STRICT", Default: "false",
		Meaning: "refuse mints while the store is down, instead of counting per instance",
		read:    func(c *Config, _ *Tenant, s string) error { return readBool(&c.RateLimitStrict, s) },
	},
	{
		Variable: "ORGA_TRUSTED_HOPS", Default: "0",
		Meaning: "number of your own proxies between the platform's edge and the function (Google Cloud, ALB)",
		read:    func(c *Config, _ *Tenant, s string) error { return readHops(&c.TrustedHops, s) },
	},
	{
		Variable: "ORGA_TENANTS_SOURCE",
		Meaning:  "where the tenants' JSON is stored, in the syntax of `ORGA_API_KEY_SOURCE`",
		read:     func(c *Config, _ *Tenant, s string) error { c.TenantsSource = s; return nil },
	},
	{
		Variable: "ORGA_GCP_IAM_REQUIRED", Default: "false",
		Meaning: "for `gateway` on Google Cloud: declares that IAM admits only verified callers",
		read:    func(c *Config, _ *Tenant, s string) error { return readBool(&c.GoogleIAM, s) },
	},
	{Variable: "ORGA_AWS_REGION", Meaning: "AWS region; the `ORGA_AWS_*` settings give access to AWS from other platforms"},
	{Variable: "ORGA_AWS_ACCESS_KEY_ID", Meaning: "AWS access key ID"},
	{Variable: "ORGA_AWS_SECRET_ACCESS_KEY", Secret: true, Meaning: "AWS secret access key"},
	{Variable: "ORGA_AWS_SESSION_TOKEN", Secret: true, Meaning: "AWS session token, for temporary credentials"},
	{Variable: "ORGA_GCPSM_ENDPOINT", Meaning: "replaces the address of Google Secret Manager"},
	{
		Variable: "ORGA_DEBUG", Default: "false",
		Meaning: "log each step of a request; credentials stay redacted",
		read:    func(c *Config, _ *Tenant, s string) error { return readBool(&c.Debug, s) },
	},
	{
		Variable: "ORGA_LOG_LEVEL", Default: "info",
		Meaning: "minimum level of log lines: `debug`, `info`, `warn` or `error`",
		read:    func(c *Config, _ *Tenant, s string) error { return readLevel(&c.LogLevel, s) },
	},
}

// settingError is the fault of a setting, or of a file or secret that it names.
type settingError struct {
	setting string
	err     error
}

func (e *settingError) Error() string { return e.setting + ": " + e.err.Error() }
func (e *settingError) Unwrap() error { return e.err }

// scope says whose settings a fault is about, and so whether it names the variable or the member of the tenants' JSON. The
// zero scope is the default tenant.
type scope string

func (s scope) name(variable string) string {
	if s == "" {
		return variable
	}
	i := slices.IndexFunc(settings, func(row Setting) bool { return row.Variable == variable })
	return string(s) + ": " + settings[i].Member
}

// unknownVariable returns a warning about an unknown variable that starts with ORGA_, "" for any other. Variables may also
// hold keys: those named ORGA_API_KEY_…, and those named by a source.
func unknownVariable(name string, env Env) string {
	if !strings.HasPrefix(name, "ORGA_") || strings.HasPrefix(name, "ORGA_API_KEY_") {
		return ""
	}
	var known []string
	for _, s := range settings {
		if source, ok := strings.CutPrefix(strings.TrimSpace(env[s.Variable]), "env:"); s.Variable == name || ok && source == name {
			return ""
		}
		known = append(known, s.Variable)
	}
	if nearest := spelling.Nearest(name, known); nearest != "" {
		return name + " is not a setting; did you mean " + nearest + "?"
	}
	return name + " is not a setting"
}

// splitList parses a comma-separated list, without empty and repeated entries.
func splitList(s string) []string {
	var list []string
	for entry := range strings.SplitSeq(s, ",") {
		if entry = strings.TrimSpace(entry); entry != "" && !slices.Contains(list, entry) {
			list = append(list, entry)
		}
	}
	return list
}

// maxDuration prevents overflows when durations are added to each other or to a time.
const maxDuration = 365 * 24 * time.Hour

func readDuration(to *time.Duration, text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d <= 0:
		return errors.New("want a duration above zero, such as 90s, 5m or 1h30m")
	case d > maxDuration:
		return errors.New("want at most a year (8760h)")
	}
	*to = d
	return nil
}

func readQuotas(to *ratelimit.Quotas, text string) error {
	quotas, err := ratelimit.ParseQuotas(text)
	if err == nil {
		*to = quotas
	}
	return err
}

func readBool(to *bool, text string) error {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return errors.New("want true or false")
	}
	*to = b
	return nil
}

func readHops(to *int, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 16 {
		return errors.New("want a number of proxies from 0 to 16")
	}
	*to = n
	return nil
}

func readLevel(to *slog.Level, text string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[strings.ToLower(text)]
	if !ok {
		return unknownWord("level", text, []string{"debug", "info", "warn", "error"})
	}
	*to = level
	return nil
}

// unknownWord returns the fault of a word that is not in a fixed list. It quotes the word, which is not secret in such a
// setting, unless it is too long or a misplaced key.
func unknownWord(kind, word string, known []string) error {
	if len(word) > 32 || strings.Contains(word, orga.KeyPrefix) {
		word = ""
	} else {
		word = " " + strconv.Quote(word)
	}
	last := len(known) - 1
	return fmt.Errorf("unknown %s%s: use %s or %s", kind, word, strings.Join(known[:last], ", "), known[last])
}

// checkPath reports why p cannot be a path of the mint route: routes are compared with paths as sent.
func checkPath(p string) error {
	if p == "" {
		return nil
	}
	if u, err := url.Parse(p); err != nil || !strings.HasPrefix(p, "/") || p == "/" || path.Clean(p) != p || u.EscapedPath() != p || u.Path != p || u.Host != "" {
		return errors.New("want an absolute, clean path without a query or escapes, such as /api/orga/session")
	}
	if p == healthPath || p == readyPath {
		return errors.New("is the path of a health check")
	}
	return nil
}
