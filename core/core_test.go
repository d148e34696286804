package core_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret"
)

const mintPath = "/api/orga-client-secrets"

// deployment is an endpoint with its own fake Orga API.
type deployment struct {
	handler http.Handler
	fault   error
	orga    *orgatest.Server
	log     *logBuffer
}

type env map[string]string

// deploy starts an endpoint with a working minimum of settings, changed by set; "" unsets one.
func deploy(t testing.TB, set env, drivers map[string]secret.Driver) *deployment {
	t.Helper()
	d := &deployment{orga: orgatest.New(t), log: new(logBuffer)}
	vars := env{"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": d.orga.URL, "ORGA_AUTH": "anonymous"}
	maps.Copy(vars, set)
	cfg := core.ConfigFromEnv(core.Env(vars))
	level := slog.LevelInfo
	if cfg.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: level}))
	cfg.Log = log
	d.start(t, cfg, core.Drivers{Secrets: drivers})
	return d
}

func (d *deployment) start(t testing.TB, cfg core.Config, drivers core.Drivers) {
	e := core.New(t.Context(), cfg, drivers)
	t.Cleanup(func() { _ = e.Close() })
	d.handler, d.fault = e, e.Faults()
}

// ask sends one request; headers are name, value, name, value, ….
func (d *deployment) ask(method, target string, headers ...string) *answer {
	return d.send(httptest.NewRequest(method, target, nil), headers...)
}

func (d *deployment) send(r *http.Request, headers ...string) *answer {
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	resp := w.Result()
	body, _ := io.ReadAll(resp.Body)
	a := &answer{Response: resp, body: string(body)}
	_ = json.Unmarshal(body, &a.json) // not every answer has a body
	return a
}

type answer struct {
	*http.Response
	body string
	json struct {
		Code           string
		EphemeralToken string
		ICEServers     []any `json:"iceServers"`
		RequestID      string
	}
}

// logBuffer collects the endpoint's log; it is safe for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestMint(t *testing.T) {
	for _, path := range []string{mintPath, "/api/orga-session"} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(method+" "+path, func(t *testing.T) {
				d := deploy(t, nil, nil)
				if d.fault != nil {
					t.Fatal(d.fault)
				}
				a := d.ask(method, path)
				if a.StatusCode != 200 || a.json.EphemeralToken != d.orga.Tokens()[0] || len(a.json.ICEServers) == 0 {
					t.Fatalf("%d %s", a.StatusCode, a.body)
				}
				if strings.Contains(a.body, orgatest.Key) { // fault 46
					t.Error("the permanent key is in the answer")
				}
			})
		}
	}
}

// A token is for one session: no two answers are the same.
func TestEachMintIsNew(t *testing.T) {
	d := deploy(t, env{"ORGA_RATE_LIMIT": "off"}, nil)
	seen := make(map[string]bool)
	for range 40 {
		seen[d.ask("GET", mintPath).json.EphemeralToken] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d different tokens in 40 answers", len(seen))
	}
}

func TestRoutes(t *testing.T) {
	d := deploy(t, nil, nil)
	for _, tt := range []struct {
		method, target string
		status         int
		code, allow    string
	}{
		{"GET", "/healthz", 200, "", ""},
		{"HEAD", "/healthz", 200, "", ""},
		{"POST", "/healthz", 405, "method_not_allowed", "GET, HEAD"},
		{"OPTIONS", "/healthz", 405, "method_not_allowed", "GET, HEAD"},
		{"GET", "/readyz", 200, "", ""},
		{"HEAD", "/readyz", 200, "", ""},
		{"DELETE", "/readyz", 405, "method_not_allowed", "GET, HEAD"},

		{"OPTIONS", mintPath, 204, "", ""},
		{"HEAD", mintPath, 405, "method_not_allowed", "GET, POST, OPTIONS"},
		{"PUT", mintPath, 405, "method_not_allowed", "GET, POST, OPTIONS"},
		{"DELETE", mintPath + "/acme", 405, "method_not_allowed", "GET, POST, OPTIONS"},
		{"GET", mintPath + "?x=%zz;y", 200, "", ""},

		{"GET", "/", 404, "not_found", ""},
		{"GET", "/api", 404, "not_found", ""},
		{"GET", "/healthz/", 404, "not_found", ""},
		{"GET", mintPath + "/", 404, "not_found", ""},
		{"GET", mintPath + "//", 404, "not_found", ""},
		{"GET", mintPath + "x", 404, "not_found", ""},
		{"GET", "/" + mintPath, 404, "not_found", ""},
		{"GET", "/api/../api/orga-session", 404, "not_found", ""},
		{"GET", "/api/./orga-session", 404, "not_found", ""},
		{"GET", "/api%2Forga-session", 404, "not_found", ""},
		{"GET", "/API/orga-session", 404, "not_found", ""},

		// Without tenants, every tenant is unknown; an invalid tenant name is an unknown route.
		{"GET", mintPath + "/acme", 403, "forbidden", ""},
		{"GET", "/api/orga-session/acme", 403, "forbidden", ""},
		{"GET", mintPath + "/" + strings.Repeat("a", 63), 403, "forbidden", ""},
		{"GET", mintPath + "/" + strings.Repeat("a", 64), 404, "not_found", ""},
		{"GET", mintPath + "/-acme", 404, "not_found", ""},
		{"GET", mintPath + "/Acme", 404, "not_found", ""},
		{"GET", mintPath + "/ac%6De", 404, "not_found", ""},
		{"GET", mintPath + "/acme/", 404, "not_found", ""},
		{"GET", mintPath + "/acme/x", 404, "not_found", ""},
		{"PUT", mintPath + "/Acme", 404, "not_found", ""},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			a := d.ask(tt.method, tt.target)
			if a.StatusCode != tt.status || a.json.Code != tt.code || a.Header.Get("Allow") != tt.allow {
				t.Errorf("%d %q, Allow %q; want %d %q, %q", a.StatusCode, a.json.Code, a.Header.Get("Allow"), tt.status, tt.code, tt.allow)
			}
			if a.Header.Get("Location") != "" {
				t.Error("a redirect")
			}
		})
	}
}

// Every answer has the headers of the contract's section 3.
func TestHeadersOnEveryAnswer(t *testing.T) {
	d := deploy(t, env{"ORGA_CORS_ORIGINS": "https://app.example", "ORGA_RATE_LIMIT": "1/1h"}, nil)
	broken := deploy(t, env{"ORGA_AUTH": "", "ORGA_CORS_ORIGINS": "https://app.example"}, nil)
	for _, a := range []*answer{
		d.ask("GET", "/healthz"), d.ask("GET", "/readyz"), d.ask("GET", "/nowhere"), d.ask("PUT", mintPath),
		d.ask("OPTIONS", mintPath), d.ask("GET", mintPath), d.ask("GET", mintPath),
		d.ask("GET", mintPath, "Origin", "https://evil.example"), broken.ask("GET", mintPath), broken.ask("GET", "/readyz"),
	} {
		h := a.Header
		h.Del("Date")
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "CDN-Cache-Control": "no-store", "Pragma": "no-cache",
			"X-Content-Type-Options": "nosniff", "Vary": "Origin",
		} {
			if got := h.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%d: %s is %q", a.StatusCode, name, got)
			}
		}
		if id := h.Get("X-Request-Id"); id == "" || a.StatusCode >= 400 && a.json.RequestID != id {
			t.Errorf("%d: request id %q, in the body %q", a.StatusCode, id, a.json.RequestID)
		}
	}
}

// Fault 35: answers given before the tenant is known have the default tenant's CORS headers.
func TestEarlyAnswersHaveCORS(t *testing.T) {
	const listed = "https://app.example"
	d := deploy(t, env{"ORGA_CORS_ORIGINS": listed}, nil)
	broken := deploy(t, env{"ORGA_CORS_ORIGINS": listed, "ORGA_AUTH": ""}, nil)
	for _, tt := range []struct {
		d              *deployment
		method, target string
		status         int
	}{
		{d, "GET", "/healthz", 200},
		{d, "GET", "/readyz", 200},
		{d, "GET", "/nowhere", 404},
		{d, "PUT", mintPath, 405},
		{broken, "GET", mintPath, 500},
	} {
		a := tt.d.ask(tt.method, tt.target, "Origin", listed)
		if got := a.Header.Values("Access-Control-Allow-Origin"); a.StatusCode != tt.status || len(got) != 1 || got[0] != listed {
			t.Errorf("%s %s: %d, Access-Control-Allow-Origin %q", tt.method, tt.target, a.StatusCode, got)
		}
		a = tt.d.ask(tt.method, tt.target, "Origin", "https://evil.example")
		if got := a.Header.Values("Access-Control-Allow-Origin"); a.StatusCode != tt.status || len(got) != 0 {
			t.Errorf("%s %s from elsewhere: %d, Access-Control-Allow-Origin %q", tt.method, tt.target, a.StatusCode, got)
		}
	}
}

// Invalid settings never end the process: health stays 200, readiness fails, nothing is minted, and the answer does not
// reveal the fault.
func TestMisconfigured(t *testing.T) {
	d := deploy(t, env{"ORGA_AUTH": "", "ORGA_TIMEOUT": "soon"}, nil)
	if d.fault == nil {
		t.Fatal("no fault")
	}
	for _, tt := range []struct {
		method, target string
		status         int
		code           string
	}{
		{"GET", "/healthz", 200, ""},
		{"GET", "/readyz", 503, "misconfigured"},
		{"GET", mintPath, 500, "misconfigured"},
		{"POST", mintPath, 500, "misconfigured"},
		{"OPTIONS", mintPath, 500, "misconfigured"},
		{"GET", mintPath + "/acme", 500, "misconfigured"},
		{"PUT", mintPath, 405, "method_not_allowed"},
		{"GET", "/nowhere", 404, "not_found"},
	} {
		a := d.ask(tt.method, tt.target)
		if a.StatusCode != tt.status || a.json.Code != tt.code || strings.Contains(a.body, "ORGA_") {
			t.Errorf("%s %s: %d %s", tt.method, tt.target, a.StatusCode, a.body)
		}
	}
	if n := d.orga.Calls("mint"); n != 0 {
		t.Errorf("%d mints", n)
	}
	for _, name := range []string{"ORGA_AUTH", "ORGA_TIMEOUT"} {
		if !strings.Contains(d.log.String(), name) {
			t.Errorf("the log does not name %s", name)
		}
	}
}

func TestReadiness(t *testing.T) {
	fetches, fail := 0, true
	var mu sync.Mutex
	store := map[string]secret.Driver{"store": func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			mu.Lock()
			defer mu.Unlock()
			fetches++
			if fail {
				return secret.Secret{}, io.ErrUnexpectedEOF
			}
			return secret.Secret{Value: secret.NewValue(orgatest.Key), Version: "1"}, nil
		}), nil
	}}
	t.Run("store down: at most one fetch", func(t *testing.T) {
		fetches, fail = 0, true
		d := deploy(t, env{"ORGA_API_KEY_SOURCE": "store:key"}, store)
		for range 50 {
			if a := d.ask("GET", "/readyz"); a.StatusCode != 503 || a.json.Code != "secret_unavailable" || a.Header.Get("Retry-After") == "" {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
		}
		if fetches != 1 {
			t.Errorf("%d fetches", fetches)
		}
	})
	t.Run("key available", func(t *testing.T) {
		fetches, fail = 0, false
		d := deploy(t, env{"ORGA_API_KEY_SOURCE": "store:key"}, store)
		for range 50 {
			if a := d.ask("GET", "/readyz"); a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
		}
		if fetches != 1 || d.orga.Calls("mint") != 0 {
			t.Errorf("%d fetches, %d mints", fetches, d.orga.Calls("mint"))
		}
	})
	t.Run("an invalid key file", func(t *testing.T) {
		d := deploy(t, env{"ORGA_API_KEY_SOURCE": "file:" + t.TempDir() + "/key"}, nil)
		if a := d.ask("GET", "/readyz"); a.StatusCode != 503 || a.json.Code != "misconfigured" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if a := d.ask("GET", mintPath); a.StatusCode != 500 || a.json.Code != "misconfigured" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
}

// A missing or malformed key file is a fault of the settings that needs no restart: once the file is correct, the endpoint
// mints.
func TestMissingKeyFile(t *testing.T) {
	for _, tt := range []struct {
		name, setting, before, after string
	}{
		{"a key that is missing", "ORGA_API_KEY_SOURCE", "", orgatest.Key},
		{"a key that is malformed", "ORGA_API_KEY_SOURCE", "two words", orgatest.Key},
		{"an hmac key that is missing", "ORGA_AUTH_HMAC_KEY_SOURCE", "", hmacKey},
		{"an hmac key that is empty", "ORGA_AUTH_HMAC_KEY_SOURCE", "\n", hmacKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir() + "/key"
			put := func(content string) {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tt.before != "" {
				put(tt.before)
			}
			// No Orga, because its connections would stop the bubble's clock. Requests that reach it get an error.
			vars := env{"ORGA_BASE_URL": "http://127.0.0.1:1", "ORGA_AUTH": "hmac", "ORGA_API_KEY": orgatest.Key, "HMAC": hmacKey, "ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC"}
			vars[tt.setting] = "file:" + path
			synctest.Test(t, func(t *testing.T) {
				d := deployment{log: new(logBuffer)}
				cfg := core.ConfigFromEnv(core.Env(vars))
				cfg.Log = slog.New(slog.NewJSONHandler(d.log, nil))
				d.start(t, cfg, core.Drivers{})
				if d.fault == nil || !strings.HasPrefix(d.fault.Error(), tt.setting+": ") {
					t.Errorf("the fault is %v", d.fault)
				}
				if n := strings.Count(d.log.String(), `"level":"ERROR","msg":"misconfigured","fault":"`+tt.setting+`: `); n != 1 {
					t.Errorf("%s is named %d times by\n%s", tt.setting, n, d.log)
				}
				answers := func(when string, healthz, readyz, mint int, code string) {
					t.Helper()
					if a := d.ask("GET", "/healthz"); a.StatusCode != healthz {
						t.Errorf("%s: health is %d", when, a.StatusCode)
					}
					if a := d.ask("GET", "/readyz"); a.StatusCode != readyz || readyz != 200 && a.json.Code != code {
						t.Errorf("%s: readiness is %d %s", when, a.StatusCode, a.body)
					}
					if a := d.ask("GET", mintPath, "Authorization", signed(hmacKey)); a.StatusCode != mint || a.json.Code != code {
						t.Errorf("%s: a mint is %d %s", when, a.StatusCode, a.body)
					}
				}
				answers("at first", 200, 503, 500, "misconfigured")
				time.Sleep(time.Hour)
				answers("later", 200, 503, 500, "misconfigured")
				put(tt.after)
				time.Sleep(10 * time.Second)
				answers("mended", 200, 200, 502, "upstream_error")
				if strings.Contains(d.log.String(), "two words") {
					t.Error("the content is in the log")
				}
			})
		})
	}
}

// hmacKey is a valid HMAC key.
const hmacKey = "0123456789abcdef0123456789abcdef"

// signed returns a valid Authorization header for hmac.
func signed(key string) string {
	ts := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "GET\n%s\n%s", mintPath, ts)
	return fmt.Sprintf("Orga-HMAC ts=%s,sig=%x", ts, mac.Sum(nil))
}

// An instance that was idle for long judges no caller by an HMAC key that the owner has withdrawn, even if many come at once.
func TestWithdrawnHMACKeyAfterIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var key atomic.Value
		key.Store(hmacKey)
		store := secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			time.Sleep(50 * time.Millisecond)
			return secret.Secret{Value: secret.NewValue(key.Load().(string)), Version: secret.Version(key.Load().(string)[:1])}, nil
		})
		cfg := core.ConfigFromEnv(core.Env{
			"ORGA_BASE_URL": "http://127.0.0.1:1", "ORGA_AUTH": "hmac", "ORGA_API_KEY": orgatest.Key, "ORGA_AUTH_HMAC_KEY_SOURCE": "awssm:hmac",
		})
		d := deployment{log: new(logBuffer)}
		cfg.Log = slog.New(slog.NewJSONHandler(d.log, nil))
		d.start(t, cfg, core.Drivers{Secrets: map[string]secret.Driver{"awssm": func(secret.Ref) (secret.Source, error) { return store, nil }}})
		if a := d.ask("GET", mintPath, "Authorization", signed(hmacKey)); d.fault != nil || a.json.Code != "upstream_error" {
			t.Fatalf("%v, code %q", d.fault, a.json.Code)
		}
		key.Store("another" + hmacKey)
		time.Sleep(time.Hour)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if a := d.ask("GET", mintPath, "Authorization", signed(hmacKey)); a.json.Code != "unauthenticated" {
					t.Errorf("code %q", a.json.Code)
				}
			})
		}
		wg.Wait()
	})
}

// Fault 33: a refused request causes no call to Orga or to the secret store.
func TestRefusalsCauseNoCalls(t *testing.T) {
	d := deploy(t, env{"ORGA_CORS_ORIGINS": "https://app.example", "ORGA_RATE_LIMIT": "1/1h"}, nil)
	d.ask("GET", mintPath)
	for _, tt := range []struct {
		name   string
		status int
		a      *answer
	}{
		{"limited", 429, d.ask("GET", mintPath)},
		{"another origin", 403, d.ask("GET", mintPath, "Origin", "https://evil.example")},
		{"cross-site navigation", 403, d.ask("GET", mintPath, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")},
		{"unknown tenant", 403, d.ask("GET", mintPath+"/acme")},
		{"preflight", 204, d.ask("OPTIONS", mintPath, "Origin", "https://app.example", "Access-Control-Request-Method", "GET")},
	} {
		if tt.a.StatusCode != tt.status {
			t.Errorf("%s: %d %s", tt.name, tt.a.StatusCode, tt.a.body)
		}
	}
	if n := d.orga.Calls("mint"); n != 1 {
		t.Errorf("%d mints", n)
	}
}

// Each request logs one line, with everything that an on-call engineer needs and nothing secret.
func TestLogLine(t *testing.T) {
	d := deploy(t, nil, nil)
	d.ask("GET", mintPath, "X-Request-Id", "abc")
	var line map[string]any
	lines := strings.Split(strings.TrimSpace(d.log.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil || len(lines) != 2 { // the other is the start's
		t.Fatalf("%d lines: %s", len(lines), d.log)
	}
	for name, want := range map[string]any{"level": "INFO", "msg": "request", "request_id": "abc", "auth": "anonymous", "error.type": nil, "http.response.status_code": 200.0, "attempts": 2.0, "faas.coldstart": true} {
		if line[name] != want {
			t.Errorf("%s is %v", name, line[name])
		}
	}
	for _, name := range []string{"total_ms", "token_ms", "ice_ms", "token_sha256", "token_expires_at", "client_hash"} {
		if line[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

// With ORGA_DEBUG, the log has each step of a request, with the request's ID.
func TestSteps(t *testing.T) {
	vars := env{"ORGA_DEBUG": "true", "ORGA_AUTH": "hmac,oidc", "HMAC": hmacKey, "ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC",
		"ORGA_AUTH_ISSUER": "http://127.0.0.1:1", "ORGA_AUTH_AUDIENCE": "a", "ORGA_CORS_ORIGINS": "https://app.example"}
	for _, tt := range []struct {
		name, header string
		fault        http.Handler
		steps        string
	}{
		{"a mint", signed(hmacKey), nil, "route found, origin allowed, credential checked, limit checked, key read, orga call mint, orga call ice, request"},
		{"a second attempt", signed(hmacKey), orgatest.Status(500, ""), "route found, origin allowed, credential checked, limit checked, key read, orga call mint, waiting for another attempt, orga call mint, orga call ice, request"},
		{"a refusal", signed("another" + hmacKey), nil, "route found, origin allowed, credential checked, credential checked, request unauthenticated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := deploy(t, vars, nil)
			if tt.fault != nil {
				d.orga.Fail("mint", tt.fault)
			}
			d.ask("GET", mintPath, "Origin", "https://app.example", "Authorization", tt.header, "X-Request-Id", "abc")
			var steps []string
			for line := range strings.Lines(d.log.String()) {
				var l struct {
					Msg, Call string
					ErrorType string `json:"error.type"`
					ID        string `json:"request_id"`
				}
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatal(err)
				}
				if l.ID == "abc" && strings.Count(line, `"request_id"`) == 1 {
					steps = append(steps, strings.TrimSpace(l.Msg+" "+l.Call+l.ErrorType))
				}
			}
			if got := strings.Join(steps, ", "); got != tt.steps {
				t.Errorf("the steps are %s\n%s", got, d.log)
			}
		})
	}
}

// The version is in the first log line, in /healthz?verbose, in --version, and at the top of the changelog.
func TestVersion(t *testing.T) {
	if body := deploy(t, nil, nil).ask("GET", "/healthz").body; strings.TrimSpace(body) != `{"status":"ok"}` {
		t.Errorf("health says %s, which the contract does not", body)
	}
	for _, tt := range []struct {
		args    []string
		printed bool
	}{{[]string{"bootstrap", "--version"}, true}, {[]string{"probe", "-version"}, true}, {[]string{"bootstrap"}, false}, {[]string{"probe", "--version", "https://…"}, false}} {
		var out bytes.Buffer
		if core.PrintVersion(&out, tt.args) != tt.printed || strings.HasPrefix(out.String(), "orga-session "+core.Version+" (go") != tt.printed {
			t.Errorf("%v prints %q", tt.args, out.String())
		}
	}
	changes, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if newest := regexp.MustCompile(`(?m)^## (\d\S*)`).FindSubmatch(changes); newest == nil || string(newest[1]) != core.Version {
		t.Errorf("the latest release in CHANGELOG.md is %s", newest)
	}
	d := deploy(t, nil, nil)
	for name, text := range map[string]string{"health": d.ask("GET", "/healthz?verbose").body, "log": d.log.String()} {
		if !strings.Contains(text, `"version":"`+core.Version+`"`) {
			t.Errorf("no version in the %s: %s", name, text)
		}
	}
}

// A program's verifier is an additional method of ORGA_AUTH.
func TestCustomVerifier(t *testing.T) {
	ticket := auth.VerifierFunc(func(r *http.Request) (auth.Principal, error) {
		if r.Header.Get("Authorization") != "Ticket 7" {
			return auth.Principal{}, auth.ErrNoCredential
		}
		return auth.Principal{Subject: "7"}, nil
	})
	vars := env{"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": orgatest.New(t).URL, "ORGA_AUTH": "ticket"}
	cfg := core.ConfigFromEnv(core.Env(vars))
	cfg.Log = slog.New(slog.DiscardHandler)
	var d deployment
	if d.start(t, cfg, core.Drivers{Verifiers: map[string]auth.Verifier{"ticket": ticket}}); d.fault != nil {
		t.Fatal(d.fault)
	}
	if a := d.ask("GET", mintPath, "Authorization", "Ticket 7"); a.StatusCode != 200 {
		t.Errorf("with a ticket: %d %s", a.StatusCode, a.body)
	}
	if a := d.ask("GET", mintPath); a.StatusCode != 401 {
		t.Errorf("without: %d %s", a.StatusCode, a.body)
	}
}

// An empty list from Orga causes a warning with the request's ID.
func TestNoICEServers(t *testing.T) {
	d := deploy(t, nil, nil)
	d.orga.FailAll("ice", orgatest.Status(200, `{"iceServers":[]}`))
	d.ask("GET", mintPath, "X-Request-Id", "abc")
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, "no ICE servers") && strings.Contains(line, `"request_id":"abc"`) {
			return
		}
	}
	t.Errorf("no such line in\n%s", d.log)
}

// fault 61: an invalid line in the secret is a fault, not a key.
func TestHMACKeys(t *testing.T) {
	for _, tt := range []struct {
		secret string
		fault  bool
	}{
		{hmacKey, false},
		{hmacKey + "\n" + hmacKey, false},
		{hmacKey + "\r\n" + hmacKey + "\r\n", false},
		{"short", true},
		{hmacKey + "\nshort", true},
		{hmacKey + "\n" + hmacKey + "\n" + hmacKey, true},
		{"# a comment that is long enough to be a key\n" + hmacKey, true},
		{"-----BEGIN PRIVATE KEY-----\n" + hmacKey, true},
	} {
		d := deploy(t, env{"ORGA_AUTH": "hmac", "HMAC": tt.secret, "ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC"}, nil)
		if (d.fault != nil) != tt.fault || tt.fault && !strings.Contains(d.fault.Error(), "ORGA_AUTH_HMAC_KEY_SOURCE: ") {
			t.Errorf("%q: the fault is %v", tt.secret, d.fault)
		}
		if strings.Contains(d.log.String(), hmacKey) || strings.Contains(d.log.String(), "comment") {
			t.Errorf("the secret is in the log: %s", d.log)
		}
	}
}
