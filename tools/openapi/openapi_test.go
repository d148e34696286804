// Package openapi tests docs/openapi.yaml against the endpoint: it replays every documented case, and requires every
// answer to be documented.
package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/secret"
)

const (
	origin = "https://app.example"
	// bearer has the form of a JWT: {"alg":"RS256","kid":"k"}.{"iss":"https://127.0.0.1:1/","exp":4102444800}.
	bearer = "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovLzEyNy4wLjAuMToxLyIsImF1ZCI6ImF1ZCIsImV4cCI6NDEwMjQ0NDgwMH0.AAAA"
)

// replay reproduces one documented case on every path of its kind.
type replay struct {
	name    string
	methods string // in the document; also sent, unless sent is set
	paths   string // mint, tenant (the mint routes of a tenant), health or ready
	env     map[string]string
	orga    func(api *orgatest.Server)
	times   int    // number of requests, of which the last counts; 0 means 1
	sent    string // a method to send other than the documented one
	tenant  string // a tenant other than acme
	query   string
	header  map[string]string // of the request
	body    string
	panics  bool

	status int
	code   string // of the problem; "" for none
}

var replays = []replay{
	{name: "mint", methods: "GET POST", paths: "mint", status: 200},
	{name: "mint for a listed page", methods: "GET POST", paths: "mint", header: map[string]string{"Origin": origin}, status: 200},
	{name: "mint without a limit", methods: "GET POST", paths: "mint", env: map[string]string{"ORGA_RATE_LIMIT": "off"}, status: 200},
	{name: "mint with a body", methods: "POST", paths: "mint", body: `{"a":1}`, header: map[string]string{"Content-Type": "application/json"}, status: 200},
	{name: "the expiry is not known", methods: "GET POST", paths: "mint", status: 200,
		orga: func(api *orgatest.Server) {
			api.FailAll(orga.CallMint, orgatest.Status(200, `{"ephemeral_token":"opaque"}`))
			api.FailAll(orga.CallICE, orgatest.Status(200, `{"iceServers":[]}`))
		}},
	{name: "preflight of a listed page", methods: "OPTIONS", paths: "mint", status: 204,
		header: map[string]string{"Origin": origin, "Access-Control-Request-Method": "GET"}},
	{name: "preflight of a foreign page", methods: "OPTIONS", paths: "mint", status: 204,
		header: map[string]string{"Origin": "https://foreign.example", "Access-Control-Request-Method": "GET"}},

	{name: "no credential", methods: "GET POST", paths: "mint", env: oidc, status: 401, code: "unauthenticated"},
	{name: "foreign page", methods: "GET POST", paths: "mint", header: map[string]string{"Origin": "https://foreign.example"}, status: 403, code: "forbidden"},
	{name: "a link on another site", methods: "GET POST", paths: "mint", status: 403, code: "forbidden",
		header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}},
	{name: "unknown tenant", methods: "GET POST", paths: "tenant", tenant: "nobody", status: 403, code: "forbidden"},
	{name: "no tenant's name", methods: "GET POST OPTIONS", paths: "tenant", tenant: "Acme", status: 404, code: "not_found"},
	{name: "wrong method", methods: "GET POST", paths: "mint", sent: "PUT", status: 405, code: "method_not_allowed"},
	{name: "no JSON", methods: "POST", paths: "mint", body: `{`, header: map[string]string{"Content-Type": "application/json"}, status: 400, code: "bad_request"},
	{name: "large body", methods: "POST", paths: "mint", body: strings.Repeat(" ", 16<<10+1), status: 413, code: "too_large"},
	{name: "body of another type", methods: "POST", paths: "mint", body: "a", header: map[string]string{"Content-Type": "text/plain"}, status: 415, code: "unsupported_media_type"},
	{name: "limited", methods: "GET POST", paths: "mint", env: map[string]string{"ORGA_RATE_LIMIT": "1/1h"}, times: 2, status: 429, code: "rate_limited"},
	{name: "large preflight", methods: "OPTIONS", paths: "mint", header: map[string]string{"X-Large": strings.Repeat("a", 9<<10)}, status: 431, code: "headers_too_large"},

	{name: "settings are wrong", methods: "GET POST OPTIONS", paths: "mint", env: map[string]string{"ORGA_AUTH": ""}, status: 500, code: "misconfigured"},
	{name: "panic", methods: "GET POST OPTIONS", paths: "mint", panics: true, status: 500, code: "internal"},
	{name: "Orga refuses the key", methods: "GET POST", paths: "mint", status: 502, code: "upstream_auth_failed",
		orga: func(api *orgatest.Server) { api.FailAll(orga.CallMint, orgatest.Status(401, "")) }},
	{name: "Orga sends a page", methods: "GET POST", paths: "mint", status: 502, code: "upstream_error",
		orga: func(api *orgatest.Server) { api.FailAll(orga.CallMint, orgatest.HTML()) }},
	{name: "Orga is limiting", methods: "GET POST", paths: "mint", status: 503, code: "upstream_rate_limited",
		orga: func(api *orgatest.Server) {
			api.FailAll(orga.CallMint, orgatest.Status(429, "", "Retry-After", "60"))
		}},
	{name: "the key's store is down", methods: "GET POST", paths: "mint", env: map[string]string{"ORGA_API_KEY_SOURCE": "down:key"}, status: 503, code: "secret_unavailable"},
	{name: "the tenants' store is down", methods: "GET POST", paths: "tenant", env: map[string]string{"ORGA_TENANTS_SOURCE": "down:tenants"}, status: 503, code: "secret_unavailable"},
	{name: "preflight while the tenants' store is down", methods: "OPTIONS", paths: "tenant", env: map[string]string{"ORGA_TENANTS_SOURCE": "down:tenants"}, status: 204},
	{name: "the limiter is down", methods: "GET POST", paths: "mint", status: 503, code: "limiter_unavailable",
		env: map[string]string{"ORGA_RATE_LIMIT_STORE": "redis://127.0.0.1:1", "ORGA_RATE_LIMIT_STRICT": "true"}},
	{name: "the issuer is down", methods: "GET POST", paths: "mint", env: oidc, header: map[string]string{"Authorization": bearer}, status: 503, code: "auth_unavailable"},
	{name: "Orga hangs", methods: "GET POST", paths: "mint", env: map[string]string{"ORGA_TIMEOUT": "200ms"}, status: 504, code: "timeout",
		orga: func(api *orgatest.Server) { api.FailAll(orga.CallMint, orgatest.Hang()) }},

	{name: "health", methods: "GET HEAD", paths: "health", status: 200},
	{name: "health with the version", methods: "GET HEAD", paths: "health", query: "?verbose", status: 200},
	{name: "health with wrong settings", methods: "GET HEAD", paths: "health", env: map[string]string{"ORGA_AUTH": ""}, status: 200},
	{name: "health by a wrong method", methods: "GET HEAD", paths: "health", sent: "POST", status: 405, code: "method_not_allowed"},
	{name: "ready", methods: "GET HEAD", paths: "ready", status: 200},
	{name: "ready by a wrong method", methods: "GET HEAD", paths: "ready", sent: "POST", status: 405, code: "method_not_allowed"},
	{name: "not ready, by the store", methods: "GET HEAD", paths: "ready", env: map[string]string{"ORGA_API_KEY_SOURCE": "down:key"}, status: 503, code: "secret_unavailable"},
	{name: "not ready, by the settings", methods: "GET HEAD", paths: "ready", env: map[string]string{"ORGA_AUTH": ""}, status: 503, code: "misconfigured"},
}

var oidc = map[string]string{
	"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": "https://127.0.0.1:1/", "ORGA_AUTH_AUDIENCE": "aud",
	"ORGA_AUTH_JWKS_URL": "https://127.0.0.1:1/jwks",
}

var paths = map[string][]string{
	"mint": {
		"/api/orga-client-secrets", "/api/orga-client-secrets/{tenant}",
		"/api/orga-session", "/api/orga-session/{tenant}",
	},
	"tenant": {"/api/orga-client-secrets/{tenant}", "/api/orga-session/{tenant}"},
	"health": {"/healthz"},
	"ready":  {"/readyz"},
}

func TestDocumentAndEndpointAgree(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Fatal(err)
	}
	replayed := make(map[string]bool)
	for _, c := range replays {
		t.Run(c.name, func(t *testing.T) {
			h := c.endpoint(t)
			for _, path := range paths[c.paths] {
				for method := range strings.SplitSeq(c.methods, " ") {
					replayed[caseName(method, path, c.status, c.code)] = true
					if err := c.check(doc, h, method, path); err != nil {
						t.Errorf("%s %s: %v", method, path, err)
					}
				}
			}
		})
	}
	for _, documented := range cases(doc) {
		if !replayed[documented] {
			t.Errorf("documented, but not replayed: %s", documented)
		}
		delete(replayed, documented)
	}
	for _, name := range slices.Sorted(maps.Keys(replayed)) {
		t.Errorf("replayed, but not documented: %s", name)
	}
}

func caseName(method, path string, status int, code string) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %d %s", method, path, status, code))
}

// cases lists every documented case: each status of each operation, each code of a problem.
func cases(doc *openapi3.T) (names []string) {
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status, r := range op.Responses.Map() {
				name := fmt.Sprintf("%s %s %s", method, path, status)
				problem := r.Value.Content["application/problem+json"]
				if problem == nil {
					names = append(names, name)
					continue
				}
				for _, part := range problem.Schema.Value.AllOf {
					if code := part.Value.Properties["code"]; code != nil {
						for _, value := range code.Value.Enum {
							names = append(names, fmt.Sprintf("%s %s", name, value))
						}
					}
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// endpoint returns an endpoint configured for the case.
func (c replay) endpoint(t *testing.T) http.Handler {
	api := orgatest.New(t)
	if c.orga != nil {
		c.orga(api)
	}
	env := map[string]string{
		"ORGA_API_KEY": orgatest.Key, "ORGA_API_KEY_SOURCE": "env:ORGA_API_KEY", "ORGA_BASE_URL": api.URL,
		"ORGA_AUTH": "anonymous", "ORGA_CORS_ORIGINS": origin, "ORGA_TENANTS_SOURCE": "env:TENANTS",
	}
	maps.Copy(env, c.env)
	env["ORGA_API_KEY_ACME"] = env["ORGA_API_KEY"]
	env["TENANTS"] = fmt.Sprintf(`{"tenants":{"acme":{"apiKeySource":%q}}}`, strings.Replace(env["ORGA_API_KEY_SOURCE"], "ORGA_API_KEY", "ORGA_API_KEY_ACME", 1))
	down := func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			return secret.Secret{}, errors.New("out of order")
		}), nil
	}
	cfg := core.ConfigFromEnv(env)
	cfg.Log = slog.New(slog.DiscardHandler)
	h := core.New(t.Context(), cfg, core.Drivers{
		Secrets:  map[string]secret.Driver{"down": down},
		Limiters: map[string]ratelimit.Driver{"redis": redislimit.Open},
	})
	if err := h.Faults(); (err != nil) != (c.code == "misconfigured" || env["ORGA_AUTH"] == "") {
		t.Fatal(err)
	}
	return h
}

// check sends the requests, and compares the last answer with the case and the document.
func (c replay) check(doc *openapi3.T, h http.Handler, method, path string) error {
	var w *httptest.ResponseRecorder
	for range max(1, c.times) {
		w = httptest.NewRecorder()
		h.ServeHTTP(w, c.request(method, path))
	}
	var p struct {
		Status    int
		Code      string
		RequestID string
	}
	if c.code != "" && json.Unmarshal(w.Body.Bytes(), &p) != nil {
		return errors.New("the problem is not JSON")
	}
	if w.Code != c.status || p.Code != c.code {
		return fmt.Errorf("%d %s, want %d %s", w.Code, p.Code, c.status, c.code)
	}
	if c.code != "" && (p.Status != w.Code || p.RequestID != w.Header().Get("X-Request-Id")) {
		return errors.New("the problem and its headers disagree")
	}
	item := doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		return errors.New("not documented")
	}
	// Validate as GET: the validator skips answers to HEAD.
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: httptest.NewRequest(http.MethodGet, "/", nil),
			Route:   &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)},
		},
		Status: w.Code, Header: w.Header(), Body: io.NopCloser(w.Body),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
}

func (c replay) request(method, path string) *http.Request {
	if c.sent != "" {
		method = c.sent
	}
	tenant := "acme"
	if c.tenant != "" {
		tenant = c.tenant
	}
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	r := httptest.NewRequest(method, strings.Replace(path, "{tenant}", tenant, 1)+c.query, body)
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	if c.panics {
		r = r.WithContext(broken{r.Context()})
	}
	return r
}

// broken is a context that panics when the endpoint first asks for its deadline.
type broken struct{ context.Context }

func (broken) Deadline() (deadline time.Time, ok bool) { panic("a fault in the endpoint") }
