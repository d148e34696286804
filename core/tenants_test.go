package core_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/core/secret"
)

const acmeKey, otherKey = orga.KeyPrefix + "acme", orga.KeyPrefix + "other"

// withTenants deploys with a tenants' document and the settings in set.
func withTenants(t testing.TB, document string, set env, drivers map[string]secret.Driver) *deployment {
	t.Helper()
	vars := env{"ORGA_TENANTS_SOURCE": "env:TENANTS", "TENANTS": document, "ORGA_API_KEY_ACME": acmeKey, "ORGA_API_KEY_OTHER": otherKey}
	maps.Copy(vars, set)
	return deploy(t, vars, drivers)
}

// keysUsed records the keys of mints.
func (d *deployment) keysUsed() *[]string {
	var mu sync.Mutex
	keys := new([]string)
	d.orga.Intercept = func(call orga.Call, r *http.Request) http.Handler {
		if call == orga.CallMint {
			mu.Lock()
			defer mu.Unlock()
			*keys = append(*keys, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		}
		return nil
	}
	return keys
}

// A server that only this machine can reach answers to loopback names, for every tenant that accepts anonymous callers: a page
// whose name leads to this machine has no credential for the others.
func TestHostsOfAnonymousTenants(t *testing.T) {
	const local = "localhost:8080 127.0.0.5:8080 [::1]:8080 localhost [::1] LocalHost.:8081"
	for _, tt := range []struct {
		name            string
		localOnly       bool
		auth, acme      string // methods of the default tenant, and of acme
		hosts           []string
		defaults, acmes string // hosts to which each answers, of those below
	}{
		{"both", true, "anonymous", "anonymous", nil, local, local},
		{"the default tenant", true, "anonymous", "hmac", nil, local, "all"},
		{"a tenant", true, "hmac", "anonymous", nil, "all", local},
		{"none", true, "hmac", "hmac", nil, "all", "all"},
		{"hosts are set", true, "hmac", "anonymous", []string{"voice.example"}, "voice.example", "voice.example"},
		{"another machine can connect", false, "anonymous", "anonymous", nil, "all", "all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &deployment{orga: orgatest.New(t), log: new(logBuffer)}
			cfg := core.ConfigFromEnv(core.Env{
				"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": d.orga.URL, "ORGA_AUTH": tt.auth, "ORGA_API_KEY_ACME": acmeKey,
				"ORGA_API_KEY_HMAC": hmacKey, "ORGA_AUTH_HMAC_KEY_SOURCE": "env:ORGA_API_KEY_HMAC", "ORGA_RATE_LIMIT": "off",
				"ORGA_TENANTS_SOURCE": "env:TENANTS",
				"TENANTS":             fmt.Sprintf(`{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","auth":%q}}}`, tt.acme),
			})
			cfg.AllowedHosts, cfg.Log = tt.hosts, slog.New(slog.NewJSONHandler(d.log, nil))
			d.start(t, cfg, core.Drivers{})
			if d.fault != nil {
				t.Fatal(d.fault)
			}
			for _, host := range append(strings.Fields(local), "voice.example", "evil.example:8080", "localhost.evil.example", "") {
				for path, answers := range map[string]string{mintPath: tt.defaults, mintPath + "/acme": tt.acmes} {
					want := http.StatusForbidden
					if slices.Contains(strings.Fields(answers), host) || answers == "all" {
						want = http.StatusOK
					}
					r := httptest.NewRequest(http.MethodGet, path, nil)
					r.Host = host
					r = r.WithContext(platform.With(r.Context(), platform.Info{LocalOnly: tt.localOnly}))
					if err := auth.SignRequest(r, hmacKey, "ada"); err != nil {
						t.Fatal(err)
					}
					if a := d.send(r); a.StatusCode != want {
						t.Errorf("%s at %s: %d, want %d", path, host, a.StatusCode, want)
					}
				}
			}
		})
	}
}

func TestTenants(t *testing.T) {
	d := withTenants(t, `{"tenants":{
		"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","corsOrigins":["https://acme.example"],"rateLimit":"1/1h"},
		"other":{"apiKeySource":"env:ORGA_API_KEY_OTHER"}}}`,
		env{"ORGA_CORS_ORIGINS": "https://home.example"}, nil)
	if d.fault != nil {
		t.Fatal(d.fault)
	}
	keys := d.keysUsed()
	for _, tt := range []struct {
		name, tenant, origin string
		status               int
		key                  string // that the mint was made with
	}{
		{"its own key and origin", "/acme", "https://acme.example", 200, acmeKey},
		{"its own limit", "/acme", "https://acme.example", 429, ""},
		{"another's limit is another's", "/other", "", 200, otherKey},
		{"inherited origin", "/other", "https://home.example", 200, otherKey},
		{"the default tenant's origin is not inherited if the tenant has its own", "/acme", "https://home.example", 403, ""},
		{"another tenant's origin", "/other", "https://acme.example", 403, ""},
		{"the default tenant", "", "", 200, orgatest.Key},
		{"unknown tenant", "/nobody", "", 403, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			*keys = nil
			headers := []string{}
			if tt.origin != "" {
				headers = []string{"Origin", tt.origin}
			}
			a := d.ask("GET", mintPath+tt.tenant, headers...)
			if got := strings.Join(*keys, " "); a.StatusCode != tt.status || got != tt.key {
				t.Errorf("%d with key …%s; want %d, …%s: %s", a.StatusCode, got[max(0, len(got)-5):], tt.status, tt.key[max(0, len(tt.key)-5):], a.body)
			}
		})
	}
}

// unsignedToken returns the header with a token of an issuer for voice, without a signature.
func unsignedToken(iss string) string {
	part := base64.RawURLEncoding.EncodeToString
	return "Bearer " + part([]byte(`{"alg":"ES256"}`)) + "." + part([]byte(`{"iss":"`+iss+`","aud":"voice","exp":4e9}`)) + "." + strings.Repeat("A", 86)
}

// A tenant with its own issuer does not inherit the default tenant's keys. fault 60: its keys are fetched only from public
// addresses.
func TestTenantIssuerKeys(t *testing.T) {
	var asked []string
	issuer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.URL.Path) }))
	defer issuer.Close()
	d := withTenants(t, `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","authIssuer":"`+issuer.URL+`/acme"},`+
		`"other":{"apiKeySource":"env:ORGA_API_KEY_OTHER"}}}`,
		env{"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": issuer.URL, "ORGA_AUTH_AUDIENCE": "voice", "ORGA_AUTH_JWKS_URL": issuer.URL + "/home-keys"}, nil)
	if a := d.ask("GET", mintPath+"/acme", "Authorization", unsignedToken(issuer.URL+"/acme")); a.json.Code != "auth_unavailable" || asked != nil {
		t.Errorf("a loopback issuer of a tenant's: %s, asked for %q", a.json.Code, asked)
	}
	if !strings.Contains(d.log.String(), `"issuer":"`+issuer.URL+`/acme","cause":"discovery: `) || !strings.Contains(d.log.String(), "public address") {
		t.Errorf("the tenant's own issuer is not named as the one that was asked:\n%s", d.log)
	}
	d.ask("GET", mintPath+"/other", "Authorization", unsignedToken(issuer.URL))
	if len(asked) != 1 || asked[0] != "/home-keys" {
		t.Errorf("asked for %q, want the default tenant's keys", asked)
	}
}

// Fault 25: an unknown tenant gets the same answer as a forbidden one, and no secret is fetched.
func TestUnknownTenant(t *testing.T) {
	fetches := 0
	drivers := map[string]secret.Driver{"store": func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			fetches++
			return secret.Secret{Value: secret.NewValue(acmeKey)}, nil
		}), nil
	}}
	d := withTenants(t, `{"tenants":{"acme":{"apiKeySource":"store:acme","corsOrigins":[]}}}`, nil, drivers)
	unknown := d.ask("GET", mintPath+"/nobody", "X-Request-Id", "same")
	foreign := d.ask("GET", mintPath+"/acme", "X-Request-Id", "same", "Origin", "https://evil.example")
	if unknown.StatusCode != 403 || unknown.body != foreign.body {
		t.Errorf("unknown: %d %s\nforbidden: %d %s", unknown.StatusCode, unknown.body, foreign.StatusCode, foreign.body)
	}
	if fetches != 0 {
		t.Errorf("%d secrets looked up", fetches)
	}
	if a := d.ask("GET", mintPath+"/acme"); a.StatusCode != 200 || fetches != 1 {
		t.Errorf("acme: %d after %d fetches", a.StatusCode, fetches)
	}
}

// Fault 25: to a caller without a credential, an unknown tenant looks like one that inherits authentication and origins.
func TestUnknownTenantIsNotRevealed(t *testing.T) {
	const tenants = `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME"}}}`
	oidc := env{"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": "http://127.0.0.1:1", "ORGA_AUTH_AUDIENCE": "voice", "ORGA_AUTH_TENANT_CLAIM": "org"}
	hmac := env{"ORGA_AUTH": "hmac,gateway", "HMAC": hmacKey, "ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC"}
	with := func(set, more env) env {
		set = maps.Clone(set)
		maps.Copy(set, more)
		return set
	}
	for name, set := range map[string]env{
		"oidc": oidc, "hmac": hmac,
		"an origin":         with(hmac, env{"ORGA_CORS_ORIGINS": "https://app.example"}),
		"a host":            with(hmac, env{"ORGA_ALLOWED_HOSTS": "localhost:8080"}),
		"no default tenant": with(hmac, env{"ORGA_API_KEY": "", "ORGA_CORS_ORIGINS": "https://app.example"}),
	} {
		t.Run(name, func(t *testing.T) {
			d := withTenants(t, tenants, set, nil)
			for _, host := range []string{"https://voice.example", "http://localhost:8080"} {
				for _, method := range []string{"GET", "POST", "OPTIONS", "PUT"} {
					for _, headers := range [][]string{
						{}, {"Origin", host}, {"Origin", "https://app.example"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
						{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"},
						{"Origin", host, "Authorization", "Bearer a.b.c"}, {"Authorization", "Orga-HMAC ts=1,sig=2"},
					} {
						see := func(tenant string) string {
							a := d.ask(method, host+mintPath+"/"+tenant, append([]string{"X-Request-Id", "same", "Access-Control-Request-Method", "GET"}, headers...)...)
							return fmt.Sprint(a.StatusCode, a.Header, a.body)
						}
						if known, unknown := see("acme"), see("nobody"); known != unknown {
							t.Errorf("%s %s %v:\n  known: %s\nunknown: %s", method, host, headers, known, unknown)
						}
					}
				}
			}
		})
	}
}

// Tenants with the same issuer and audience, including the default tenant, are distinguished only by a claim.
func TestTenantsThatShareAnIssuer(t *testing.T) {
	const oidc = `"auth":"oidc","authIssuer":"https://%s.example","authAudience":"a"`
	entry := func(issuer string) string {
		return fmt.Sprintf(`{"apiKeySource":"env:ORGA_API_KEY_ACME",`+oidc+`}`, issuer)
	}
	for _, tt := range []struct {
		name, auth, claim, acme, other string
		warned                         bool
	}{
		{"two tenants", "anonymous", "", entry("i"), entry("i"), true},
		{"two tenants and a claim", "anonymous", "org", entry("i"), entry("i"), false},
		{"two tenants of two issuers", "anonymous", "", entry("i"), entry("j"), false},
		{"a tenant and the default one", "oidc", "", entry("home"), entry("j"), true},
		{"a tenant that inherits", "oidc", "", `{"apiKeySource":"env:ORGA_API_KEY_ACME"}`, entry("j"), true},
		{"a tenant, the default one and a claim", "oidc", "org", entry("home"), entry("j"), false},
		{"three issuers", "oidc", "", entry("i"), entry("j"), false},
		{"one audience of several in common", "anonymous", "", `{"apiKeySource":"env:ORGA_API_KEY_ACME","auth":"oidc","authIssuer":"https://i.example","authAudience":"b,a"}`, entry("i"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := withTenants(t, `{"tenants":{"acme":`+tt.acme+`,"other":`+tt.other+`}}`, env{
				"ORGA_AUTH": tt.auth, "ORGA_AUTH_ISSUER": "https://home.example", "ORGA_AUTH_AUDIENCE": "a", "ORGA_AUTH_TENANT_CLAIM": tt.claim,
			}, nil)
			if d.fault != nil || strings.Contains(d.log.String(), "ORGA_AUTH_TENANT_CLAIM") != tt.warned {
				t.Errorf("fault %v, log %s", d.fault, d.log)
			}
		})
	}
}

// fault 77: two tenants of one issuer cannot have the same claim value, or each would accept the other's callers.
func TestClaimValueOfTwoTenants(t *testing.T) {
	entry := func(members string) string { return `{"apiKeySource":"env:ORGA_API_KEY_ACME"` + members + `}` }
	const org, ownIssuer = `,"claimValue":"org_1"`, `,"auth":"oidc","authIssuer":"https://own.example"`
	for _, tt := range []struct {
		name, auth, claim, acme, other string
		fault                          bool
	}{
		{"one value", "oidc", "org", org, org, true},
		{"the other's name", "oidc", "org", `,"claimValue":"other"`, "", true},
		{"one value of the gateway's", "gateway", "org", org, org, true},
		{"one of two methods in common", "oidc,gateway", "org", org, org + `,"auth":"gateway"`, true},
		{"one value of an issuer that both name", "oidc", "org", org + ownIssuer, org + ownIssuer, true},
		{"two values", "oidc", "org", org, `,"claimValue":"org_2"`, false},
		{"one value of two issuers", "oidc", "org", org, org + ownIssuer, false},
		{"their names", "oidc", "org", "", "", false},
		{"signatures cover the tenant", "hmac", "org", org, org, false},
		{"no claim required", "oidc", "", org, org, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := withTenants(t, `{"tenants":{"acme":`+entry(tt.acme)+`,"other":`+entry(tt.other)+`}}`, env{
				"ORGA_AUTH": tt.auth, "ORGA_AUTH_ISSUER": "https://home.example", "ORGA_AUTH_AUDIENCE": "a", "ORGA_AUTH_TENANT_CLAIM": tt.claim,
				"ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC", "HMAC": strings.Repeat("k", 32),
			}, nil)
			want := ""
			if tt.fault {
				want = `ORGA_TENANTS_SOURCE: tenant "other": claimValue: tenant "acme" has the same value and the same issuer`
			}
			if (d.fault != nil) != tt.fault || tt.fault && d.fault.Error() != want {
				t.Errorf("fault %v, want %q", d.fault, want)
			}
		})
	}
}

// There are warnings if several tenants share an HMAC key, whose holder can sign for each of them, and if an issuer is not
// used.
func TestWarningsOfSharing(t *testing.T) {
	entry := func(members string) string { return `{"apiKeySource":"env:ORGA_API_KEY_ACME"` + members + `}` }
	const shared, unasked = "tenants share an HMAC key", "anonymous lets everybody in"
	for _, tt := range []struct {
		name        string
		set         env
		acme, other string
		warned      string
	}{
		{"the default tenant's key", env{"ORGA_AUTH": "hmac"}, "", `,"auth":"gateway"`, shared},
		{"the default tenant's key, and no default tenant", env{"ORGA_AUTH": "hmac", "ORGA_API_KEY": ""}, "", `,"auth":"gateway"`, ""},
		{"one key for two", env{"ORGA_AUTH": "gateway"}, `,"auth":"hmac"`, `,"auth":"hmac"`, shared},
		{"separate keys", env{"ORGA_AUTH": "hmac"}, `,"authHMACKeySource":"env:ORGA_API_KEY_HMAC1"`, `,"authHMACKeySource":"env:ORGA_API_KEY_HMAC2"`, ""},
		{"an issuer that is not asked", env{"ORGA_AUTH": "anonymous", "ORGA_AUTH_ISSUER": "https://home.example"}, "", "", unasked},
		{"a tenant's issuer that is not asked", env{"ORGA_AUTH": "gateway"}, `,"auth":"anonymous","authIssuer":"https://own.example"`, `,"auth":"gateway"`, unasked},
		{"a tenant's key that is not asked", env{"ORGA_AUTH": "anonymous"}, `,"authHMACKeySource":"env:ORGA_API_KEY_HMAC1"`, `,"auth":"gateway"`, unasked},
		{"a tenant's audience that is not asked", env{"ORGA_AUTH": "anonymous"}, `,"authAudience":"acme"`, `,"auth":"gateway"`, unasked},
		{"no issuer", env{"ORGA_AUTH": "anonymous"}, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := env{"ORGA_AUTH_TENANT_CLAIM": "org", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC"}
			for _, name := range []string{"HMAC", "ORGA_API_KEY_HMAC1", "ORGA_API_KEY_HMAC2"} {
				set[name] = strings.Repeat("k", 32)
			}
			maps.Copy(set, tt.set)
			d := withTenants(t, `{"tenants":{"acme":`+entry(tt.acme)+`,"other":`+entry(tt.other)+`}}`, set, nil)
			log := d.log.String()
			for _, warning := range []string{shared, unasked} {
				want := map[bool]int{true: 1}[warning == tt.warned]
				if n := strings.Count(log, warning); d.fault != nil || n != want {
					t.Errorf("fault %v, %d times the warning %q, want %d, in\n%s", d.fault, n, warning, want, log)
				}
			}
		})
	}
}

// A readiness check that finds an invalid document does not change the answers to mints.
func TestReadinessFindsAFaultInTheDocument(t *testing.T) {
	cfg := core.ConfigFromEnv(core.Env{"ORGA_AUTH": "anonymous", "ORGA_TENANTS_SOURCE": "env:TENANTS", "TENANTS": "{}"})
	cfg.NoWarmUp, cfg.Log = true, slog.New(slog.DiscardHandler)
	d := new(deployment)
	d.start(t, cfg, core.Drivers{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if a := d.ask("GET", "/readyz"); a.StatusCode != 503 || a.json.Code != "misconfigured" {
				t.Errorf("/readyz: %d %s", a.StatusCode, a.body)
			}
		})
	}
	wg.Wait()
	if a := d.ask("GET", mintPath+"/acme"); a.StatusCode != 500 || a.json.Code != "misconfigured" {
		t.Errorf("a mint: %d %s", a.StatusCode, a.body)
	}
}

// Fault 26: concurrent tenants never share a key.
func TestConcurrentTenants(t *testing.T) {
	document := make(map[string]map[string]string)
	vars := env{"ORGA_RATE_LIMIT": "off"}
	for n := range 10 {
		name := fmt.Sprintf("t%d", n)
		document[name] = map[string]string{"apiKeySource": "env:ORGA_API_KEY_" + name, "userEmail": name + "@example.com"}
		vars["ORGA_API_KEY_"+name] = orga.KeyPrefix + name
	}
	text, _ := json.Marshal(map[string]any{"tenants": document})
	d := withTenants(t, string(text), vars, nil)
	d.orga.Intercept = func(call orga.Call, r *http.Request) http.Handler {
		name, _, _ := strings.Cut(r.URL.Query().Get("email"), "@")
		if call == orga.CallMint && r.Header.Get("Authorization") != "Bearer "+orga.KeyPrefix+name {
			t.Errorf("a mint for %s with another's key", name)
		}
		return nil
	}
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			if a := d.ask("GET", fmt.Sprintf("%s/t%d", mintPath, n%10)); a.StatusCode != 200 {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
	}
	wg.Wait()
}

// Faults of a tenant are faults of the settings: reported together, by name, without values.
func TestTenantFaults(t *testing.T) {
	const value = "s3cr3t-value"
	for _, tt := range []struct{ name, document, fault string }{
		{"not JSON", value, "JSON"},
		{"a list", `["` + value + `"]`, "JSON"},
		{"something behind", `{"tenants":{}} {}`, "JSON"},
		{"no tenants", `{}`, `{"tenants":`},
		{"another member", `{"tenants":{},"version":"` + value + `"}`, `{"tenants":`},
		{"name", `{"tenants":{"Acme":{"apiKeySource":"env:ORGA_API_KEY_ACME"}}}`, `tenant "Acme": want a name`},
		{"name that could be a secret", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME"},"` + value + `_":{"apiKeySource":"env:ORGA_API_KEY_ACME"}}}`, "tenant 2: want a name"},
		{"name that is long", `{"tenants":{"` + value + strings.Repeat("x", 64) + `":{"apiKeySource":"env:ORGA_API_KEY_ACME"}}}`, "tenant 1: want a name"},
		{"name that is empty", `{"tenants":{"":{"apiKeySource":"env:ORGA_API_KEY_ACME"}}}`, "tenant 1: want a name"},
		{"twice", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME"},"acme":{"apiKeySource":"env:ORGA_API_KEY_OTHER"}}}`, "twice"},
		{"no key", `{"tenants":{"acme":{}}}`, "apiKeySource"},
		{"empty key", `{"tenants":{"acme":{"apiKeySource":""}}}`, `tenant "acme": apiKeySource: is required`},
		{"unknown member", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","apikey":"` + value + `"}}}`, "apikey"},
		{"unknown member that could be a secret", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","` + value + `":"x"}}}`, `tenant "acme": a member: is not a setting`},
		{"unknown member that is long", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","` + strings.Repeat("s3cr3t", 6) + `":"x"}}}`, "a member: is not a setting"},
		{"unknown member of verbs", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","%s%w":"x"}}}`, "a member: is not a setting"},
		{"unknown member that is a key", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","` + orga.KeyPrefix + `x":"x"}}}`, "a member: is not a setting"},
		{"member twice that could be a secret", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","` + value + `":"x","` + value + `":"y"}}}`, "has a member twice"},
		{"entry that is not an object", `{"tenants":{"acme":"` + value + `"}}`, `tenant "acme": must be a JSON object`},
		{"member in other case", `{"tenants":{"acme":{"apikeysource":"env:ORGA_API_KEY_ACME"}}}`, "apikeysource"},
		{"wrong type", `{"tenants":{"acme":{"apiKeySource":7}}}`, "apiKeySource"},
		{"null", `{"tenants":{"acme":{"apiKeySource":null}}}`, "apiKeySource"},
		{"unknown source", `{"tenants":{"acme":{"apiKeySource":"` + value + `"}}}`, "apiKeySource"},
		{"key that is not set", `{"tenants":{"acme":{"apiKeySource":"env:NOBODY"}}}`, "apiKeySource"},
		{"TTL", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","apiKeyTTL":"` + value + `"}}}`, "apiKeyTTL"},
		{"limit", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","rateLimit":"0/1m"}}}`, "rateLimit"},
		{"origins", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","corsOrigins":"https://a.example"}}}`, "corsOrigins"},
		{"origins null", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","corsOrigins":null}}}`, "corsOrigins: must be an array of strings"},
		{"origin", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","corsOrigins":["https://` + value + `/"]}}}`, "corsOrigins"},
		{"auth", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","auth":"jwt"}}}`, `auth: unknown method "jwt"`},
		{"oidc without an audience", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","auth":"oidc","authIssuer":"https://a.example"}}}`, "authAudience"},

		// Fault 44: allowed base URLs of tenants.
		{"base URL over http", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"http://orga.example"}}}`, "baseURL"},
		{"loopback", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"https://127.0.0.1"}}}`, "baseURL"},
		{"localhost", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"https://localhost."}}}`, "baseURL"},
		{"loopback, IPv6", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"https://[::1]"}}}`, "baseURL"},
		{"loopback, mapped", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"https://[::ffff:127.0.0.1]"}}}`, "baseURL"},
		{"the default tenant's loopback", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"http://127.0.0.1:1"}}}`, "baseURL"},
		{"link-local", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"https://169.254.169.254"}}}`, "baseURL"},
		{"private", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"https://10.0.0.1:8443"}}}`, "baseURL"},
		{"private, IPv6", `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"https://[fd00:ec2::254]"}}}`, "baseURL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := withTenants(t, tt.document, env{"ORGA_BASE_URL": "http://127.0.0.1:1"}, nil)
			if d.fault == nil || !strings.Contains(d.fault.Error(), tt.fault) || !strings.Contains(d.fault.Error(), "ORGA_TENANTS_SOURCE") {
				t.Fatalf("%q is not named by: %v", tt.fault, d.fault)
			}
			if text := d.fault.Error() + d.log.String(); strings.Contains(text, value) || strings.Contains(text, "s3cr3ts3cr3t") || strings.Contains(text, orga.KeyPrefix+"x") || strings.Contains(text, "%!") || strings.Contains(text, "acme.example") {
				t.Errorf("a value is printed: %s", text)
			}
			if a := d.ask("GET", "/readyz"); a.StatusCode != 503 || a.json.Code != "misconfigured" {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
	}
}

// All faults in the document are reported together, once each, sorted by name.
func TestAllTenantFaultsAtOnce(t *testing.T) {
	d := withTenants(t, `{"tenants":{
		"zoo":{},
		"Bad":{"apiKeySource":"env:ORGA_API_KEY_ACME","rateLimit":"x"},
		"acme":{"corsOrigins":null,"apiKeyTTL":"x","auth":7,"baseURL":"http://orga.example","apikey":"x","authIssuer":1},
		"other":"nothing",
		"acme":{}}}`, nil, nil)
	var faults []string
	for line := range strings.Lines(d.log.String()) {
		var said struct{ Fault string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Fault != "" {
			faults = append(faults, strings.TrimPrefix(said.Fault, "ORGA_TENANTS_SOURCE: "))
		}
	}
	want := []string{
		`has "acme" twice`,
		`tenant "Bad": want a name of the form [a-z0-9][a-z0-9-]{0,62}`,
		`tenant "Bad": rateLimit: want COUNT/PERIOD, such as 30/1m or 30/1m,500/24h, or off`,
		`tenant "acme": apiKeyTTL: want a duration above zero, such as 90s, 5m or 1h30m`,
		`tenant "acme": "apikey": is not a setting of a tenant`,
		`tenant "acme": auth: must be a string`,
		`tenant "acme": authIssuer: must be a string`,
		`tenant "acme": corsOrigins: must be an array of strings`,
		`tenant "acme": apiKeySource: is required; a tenant never uses another's key`,
		`tenant "acme": baseURL: must be https (http is for this machine's own addresses)`,
		`tenant "other": must be a JSON object`,
		`tenant "zoo": apiKeySource: is required; a tenant never uses another's key`,
	}
	if got := strings.Join(faults, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the faults are\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// Fault 44, at the dial: a name that resolves to an address of this machine is not followed.
func TestTenantBaseURLAtDial(t *testing.T) {
	resolveToThisMachine(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var connections atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	d := withTenants(t, `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","baseURL":"https://orga.example:`+port+`"}}}`, nil, nil)
	if d.fault != nil {
		t.Fatal(d.fault)
	}
	if a := d.ask("GET", mintPath+"/acme"); a.StatusCode != 502 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if n := connections.Load(); n != 0 || !strings.Contains(d.log.String(), "public address") {
		t.Errorf("%d connections to this machine\n%s", n, d.log)
	}
}

// resolveToThisMachine is a resolver that answers 127.0.0.1 for every name.
func resolveToThisMachine(t *testing.T) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			size := make([]byte, 2) // messages on a stream come with their length (RFC 1035 section 4.2.2)
			if _, err := io.ReadFull(server, size); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size))
			if _, err := io.ReadFull(server, query); err != nil {
				return
			}
			const header = 12
			end := header + bytes.IndexByte(query[header:], 0) + 5 // of the question: a name, a type, a class
			answer := slices.Concat(query[:2], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[header:end])
			if query[end-3] == 1 { // the type A
				answer[7] = 1
				answer = append(answer, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
			}
			_, _ = server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		}()
		return client, nil
	}}
}

// A tenant's key is fetched on first use; a fault of its file is logged by the setting's name.
func TestTenantKeyInAMissingFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tenants.json")
	key := filepath.Join(filepath.Dir(file), "acme.key")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"tenants":{"acme":{"apiKeySource":%q}}}`, "file:"+key), 0o600); err != nil {
		t.Fatal(err)
	}
	d := deploy(t, env{"ORGA_TENANTS_SOURCE": "file:" + file}, nil)
	if d.fault != nil {
		t.Fatal(d.fault)
	}
	if a := d.ask("GET", mintPath+"/acme"); a.StatusCode != 500 || a.json.Code != "misconfigured" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if want := `"cause":"ORGA_TENANTS_SOURCE: tenant \"acme\": apiKeySource: ` + key + `: `; !strings.Contains(d.log.String(), want) {
		t.Errorf("%s is not in\n%s", want, d.log)
	}
}

// If the source is unavailable at start, a request that needs it fetches it again; the default tenant keeps serving.
func TestTenantsSourceDown(t *testing.T) {
	down := errors.New("down")
	drivers := map[string]secret.Driver{"store": func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) { return secret.Secret{}, down }), nil
	}}
	d := withTenants(t, "", env{"ORGA_TENANTS_SOURCE": "store:tenants"}, drivers)
	if a := d.ask("GET", mintPath+"/acme"); a.StatusCode != 503 || a.json.Code != "secret_unavailable" {
		t.Errorf("tenant: %d %s", a.StatusCode, a.body)
	}
	if a := d.ask("GET", mintPath); a.StatusCode != 200 {
		t.Errorf("default: %d %s", a.StatusCode, a.body)
	}
}

// Until the tenants are known, preflights are answered with the default tenant's origins.
func TestPreflightBeforeTenants(t *testing.T) {
	drivers := map[string]secret.Driver{"store": func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) { return secret.Secret{}, errors.New("down") }), nil
	}}
	d := withTenants(t, "", env{"ORGA_TENANTS_SOURCE": "store:tenants", "ORGA_CORS_ORIGINS": "https://home.example"}, drivers)
	for origin, allowed := range map[string]string{"https://home.example": "https://home.example", "https://acme.example": ""} {
		a := d.ask("OPTIONS", mintPath+"/acme", "Origin", origin, "Access-Control-Request-Method", "GET")
		if got := a.Header.Get("Access-Control-Allow-Origin"); a.StatusCode != 204 || got != allowed {
			t.Errorf("from %s: %d, Access-Control-Allow-Origin %q", origin, a.StatusCode, got)
		}
	}
}

// A document that is read after the start can still have faults.
func TestTenantsReadLateAndFaulty(t *testing.T) {
	document := ""
	drivers := map[string]secret.Driver{"store": func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			if document == "" {
				return secret.Secret{}, errors.New("down")
			}
			return secret.Secret{Value: secret.NewValue(document), Version: "1"}, nil
		}), nil
	}}
	vars := env{"ORGA_TENANTS_SOURCE": "store:tenants", "ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": "http://127.0.0.1:1", "ORGA_AUTH": "anonymous"}
	synctest.Test(t, func(t *testing.T) {
		d := deployment{log: new(logBuffer)}
		cfg := core.ConfigFromEnv(core.Env(vars))
		cfg.Log = slog.New(slog.NewJSONHandler(d.log, nil))
		d.start(t, cfg, core.Drivers{Secrets: drivers})
		if a := d.ask("GET", "/readyz"); a.StatusCode != 200 || d.fault != nil {
			t.Errorf("before: %d %s, fault %v", a.StatusCode, a.body, d.fault)
		}
		document = `{"tenants":{"acme":{}}}`
		time.Sleep(time.Minute)
		for _, tt := range []struct {
			method, target string
			status         int
		}{
			{"GET", mintPath + "/acme", 500},
			{"OPTIONS", mintPath + "/acme", 500},
			{"GET", "/readyz", 503},
		} {
			if a := d.ask(tt.method, tt.target); a.StatusCode != tt.status || a.json.Code != "misconfigured" {
				t.Errorf("%s %s: %d %s", tt.method, tt.target, a.StatusCode, a.body)
			}
		}
		if n := strings.Count(d.log.String(), `"fault":"ORGA_TENANTS_SOURCE: tenant \"acme\": apiKeySource: `); n != 1 {
			t.Errorf("the fault is logged %d times", n)
		}
		if a := d.ask("GET", mintPath); a.StatusCode != 502 { // there is no Orga
			t.Errorf("the default tenant: %d %s", a.StatusCode, a.body)
		}
	})
}

// absent is a store without secrets.
func absent(secret.Ref) (secret.Source, error) {
	return secret.SourceFunc(func(context.Context) (secret.Secret, error) { return secret.Secret{}, secret.ErrPermanent }), nil
}

// The JSON Schema and the code have the same members.
func TestTenantsSchema(t *testing.T) {
	text, err := os.ReadFile("../docs/tenants.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			Tenant struct {
				Properties           map[string]struct{ Examples []json.RawMessage }
				Required             []string
				AdditionalProperties bool
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	tenant := schema.Defs.Tenant
	if tenant.AdditionalProperties || strings.Join(tenant.Required, " ") != "apiKeySource" {
		t.Errorf("additional %v, required %v", tenant.AdditionalProperties, tenant.Required)
	}
	for member, property := range tenant.Properties {
		for _, example := range property.Examples {
			entry := map[string]json.RawMessage{"apiKeySource": json.RawMessage(`"env:ORGA_API_KEY_ACME"`)}
			entry[member] = example
			document, _ := json.Marshal(map[string]any{"tenants": map[string]any{"acme": entry}})
			d := withTenants(t, string(document), env{
				"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": "https://i.example", "ORGA_AUTH_AUDIENCE": "a", "ORGA_AUTH_JWKS_URL": "https://i.example/keys",
				"ORGA_API_KEY_HMAC": strings.Repeat("0123456789abcdef", 2), "ORGA_AUTH_HMAC_KEY_SOURCE": "env:ORGA_API_KEY_HMAC",
			}, map[string]secret.Driver{"awssm": absent, "gcpsm": absent})
			if d.fault != nil {
				t.Errorf("%s: the schema's example %s: %v", member, example, d.fault)
			}
		}
		if len(property.Examples) == 0 {
			t.Errorf("%s has no example", member)
		}
	}
	for _, s := range core.Settings() {
		if _, ok := tenant.Properties[s.Member]; s.Member != "" && !ok {
			t.Errorf("%s is not in the schema", s.Member)
		}
		delete(tenant.Properties, s.Member)
	}
	for member := range tenant.Properties {
		t.Errorf("%s is in the schema, and is not a setting", member)
	}
}

// manyTenants returns a document with n tenants, each with a key in a store.
func manyTenants(n int) string {
	document := make(map[string]map[string]any, n)
	for i := range n {
		document[fmt.Sprintf("t%d", i)] = map[string]any{
			"apiKeySource": fmt.Sprintf("store:t%d", i), "corsOrigins": []string{fmt.Sprintf("https://t%d.example", i)}, "rateLimit": "60/1m",
		}
	}
	text, _ := json.Marshal(map[string]any{"tenants": document})
	return string(text)
}

// Tenants' keys are fetched on first use, so a thousand tenants start as fast as one.
func TestManyTenantsStart(t *testing.T) {
	var mu sync.Mutex
	var fetched []string
	drivers := map[string]secret.Driver{"store": func(ref secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			mu.Lock()
			defer mu.Unlock()
			fetched = append(fetched, ref.Name)
			return secret.Secret{Value: secret.NewValue(orga.KeyPrefix + ref.Name), Version: "1"}, nil
		}), nil
	}}
	d := withTenants(t, manyTenants(1000), nil, drivers)
	if d.fault != nil || len(fetched) != 0 {
		t.Fatalf("fault %v, fetched %v", d.fault, fetched)
	}
	for range 3 {
		if a := d.ask("GET", mintPath+"/t999"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	if strings.Join(fetched, " ") != "t999" {
		t.Errorf("fetched %v", fetched)
	}
}

func BenchmarkStart(b *testing.B) {
	drivers := map[string]secret.Driver{"store": func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) { return secret.Secret{}, errors.New("not asked") }), nil
	}}
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) {
			document := manyTenants(n)
			for b.Loop() {
				withTenants(b, document, nil, drivers)
			}
		})
	}
}

// Fault 67: without a default key, tenants can mint, and the bare route is refused.
func TestTenantsOnly(t *testing.T) {
	d := withTenants(t, `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","auth":"anonymous"}}}`, env{"ORGA_API_KEY": "", "ORGA_AUTH": ""}, nil)
	if d.fault != nil {
		t.Fatal(d.fault)
	}
	for target, status := range map[string]int{mintPath + "/acme": 200, mintPath: 403, "/readyz": 200} {
		if a := d.ask("GET", target); a.StatusCode != status {
			t.Errorf("%s: %d %s", target, a.StatusCode, a.body)
		}
	}
}

// Fault 64: a tenants' document cannot read the endpoint's environment and files.
func TestTenantSources(t *testing.T) {
	folder := t.TempDir()
	key := filepath.Join(folder, "keys", "acme")
	if err := errors.Join(os.Mkdir(filepath.Dir(key), 0o700), os.WriteFile(key, []byte(acmeKey), 0o600)); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"env:ORGA_API_KEY_ACME":                         "",
		"env:AWS_SECRET_ACCESS_KEY":                     "want a variable called ORGA_API_KEY_…",
		"env:ORGA_API_KEY":                              "want a variable called ORGA_API_KEY_…",
		"file:" + key:                                   "",
		"file:" + filepath.Join(folder, "..", "secret"): "want a file in the folder of the tenants' own file",
		"file:" + folder + "/../secret":                 "want a file in the folder of the tenants' own file",
		"file:/proc/self/environ":                       "want a file in the folder of the tenants' own file",
	} {
		file := filepath.Join(folder, "tenants.json")
		if err := os.WriteFile(file, fmt.Appendf(nil, `{"tenants":{"acme":{"apiKeySource":%q}}}`, source), 0o600); err != nil {
			t.Fatal(err)
		}
		d := deploy(t, env{"ORGA_TENANTS_SOURCE": "file:" + file, "ORGA_API_KEY_ACME": acmeKey, "AWS_SECRET_ACCESS_KEY": "s3cr3t"}, nil)
		if want == "" && d.fault != nil || want != "" && (d.fault == nil || !strings.Contains(d.fault.Error(), want)) {
			t.Errorf("%s: %v, want %q", source, d.fault, want)
		}
	}
}

// Fault 64: a document in the root folder cannot read every file of the machine.
func TestTenantSourcesBesideTheDocument(t *testing.T) {
	for _, tt := range []struct {
		document, source string
		ok               bool
	}{
		{"/etc/orga/tenants.json", "/etc/orga/acme", true},
		{"/etc/orga/tenants.json", "/etc/orga/keys/acme", true},
		{"/etc/orga/tenants.json", "/etc/orga-other", false},
		{"/etc/orga/tenants.json", "/etc/shadow", false},
		{"/tenants.json", "/etc/shadow", false},
		{"/tenants.json", "/acme", false},
		{"/./tenants.json", "/acme", false},
		{"/etc/../tenants.json", "/etc/shadow", false},
	} {
		err := core.CheckTenantSource("file:"+tt.document, "file:"+tt.source)
		if (err == nil) != tt.ok {
			t.Errorf("%s of %s: %v", tt.source, tt.document, err)
		}
		if root := path.Dir(path.Clean(tt.document)) == "/"; err != nil && strings.Contains(err.Error(), "ORGA_TENANTS_SOURCE") != root {
			t.Errorf("%s of %s: %v, want the setting to be named: %t", tt.source, tt.document, err, root)
		}
		if err := core.CheckTenantSource("file:"+tt.document, "awssm:acme"); err != nil {
			t.Errorf("a secret store, with %s: %v", tt.document, err)
		}
	}
}

// Fault 65: a tenant with its own issuer must not inherit anonymous.
func TestTenantDoesNotInheritAnonymous(t *testing.T) {
	d := withTenants(t, `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","authIssuer":"https://i.example","authAudience":"a"}}}`, nil, nil)
	if d.fault == nil || !strings.Contains(d.fault.Error(), `tenant "acme": auth`) {
		t.Errorf("%v", d.fault)
	}
}
