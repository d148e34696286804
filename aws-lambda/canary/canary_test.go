package canary

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/lambdahttp"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret"
)

const (
	token   = "ephemeral-token-of-the-canary"
	hmacKey = "0123456789abcdef0123456789abcdef"
)

// run runs the canary of env once, and returns the result and the log line.
func run(t *testing.T, env core.Env) (Result, map[string]any) {
	t.Helper()
	var log bytes.Buffer
	stores := map[string]secret.Driver{"store": func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			return secret.Secret{}, fmt.Errorf("%w: AccessDeniedException", secret.ErrPermanent)
		}), nil
	}}
	c := FromEnv(env, stores, slog.New(lambdahttp.Metrics(slog.NewJSONHandler(&log, nil))))
	result, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), hmacKey) || strings.Contains(log.String(), "turn-credential") {
		t.Errorf("a secret is in the log: %s", log.String())
	}
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("want one line: %v: %s", err, log.String())
	}
	return result, line
}

// answers returns a handler of a session config with these ICE servers and this token lifetime.
func answers(life time.Duration, ice string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "3R7VUFY4")
		fmt.Fprintf(w, `{"ephemeralToken":%q,"iceServers":%s,"expiresAt":%q,"expiresIn":60}`, token, ice, time.Now().Add(life).UTC().Format(time.RFC3339))
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "3R7VUFY4")
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

func TestRun(t *testing.T) {
	turn := func(reply func(message) *message) string {
		return fmt.Sprintf(`[{"urls":%q,"username":"u","credential":"turn-credential"}]`, startTURN(t, reply))
	}
	working := turn(relayed)
	refusing := turn(func(message) *message { return refusal(401, "n") })
	for _, tt := range []struct {
		name  string
		serve http.HandlerFunc
		env   core.Env
		cause string   // prefix of the failure's cause; "" for a success
		has   []string // members that only some lines have
	}{
		{name: "all is well", serve: answers(time.Minute, working), has: []string{"request_id", "http.response.status_code", "total_ms", "token_expires_at", "turn", "turn_ms"}},
		{name: "no TURN server in the list", serve: answers(time.Minute, `[{"urls":"stun:stun.example"}]`), has: []string{"request_id", "http.response.status_code", "total_ms", "token_expires_at"}},
		{name: "one of two TURN servers", serve: answers(time.Minute, working[:len(working)-1]+","+refusing[1:]), has: []string{"request_id", "http.response.status_code", "total_ms", "token_expires_at", "turn", "turn_ms", "turn_failed"}},
		{name: "TURN refuses", serve: answers(time.Minute, refusing), cause: "canary: no TURN server relays: turn:127.0.0.1:", has: []string{"request_id", "http.response.status_code", "total_ms", "token_expires_at"}},
		{name: "a dead token", serve: answers(4*time.Second, working), cause: "canary: the token expires in", has: []string{"request_id", "http.response.status_code", "total_ms", "token_expires_at"}},
		{name: "a problem", serve: status(502, `{"code":"upstream_auth_failed"}`), cause: "canary: status 502 (upstream_auth_failed)", has: []string{"request_id", "http.response.status_code", "total_ms"}},
		{name: "a gateway's error", serve: status(503, `{"message":"Service Unavailable"}`), cause: "canary: status 503 (no code)", has: []string{"request_id", "http.response.status_code", "total_ms"}},
		{name: "somebody else's answer", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Request-Id", "Bearer "+strings.Repeat("x", 10_000))
			w.WriteHeader(503)
			fmt.Fprintf(w, `{"code":"Bearer %s"}`, strings.Repeat("x", 10_000))
		}, cause: "canary: status 503 (no code)", has: []string{"http.response.status_code", "total_ms"}},
		{name: "a redirect", serve: http.RedirectHandler("https://elsewhere.example", 302).ServeHTTP, cause: "canary: status 302", has: []string{"http.response.status_code", "total_ms"}},
		{name: "not HTTP", serve: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", strings.Repeat("x", 100_000))
		}, cause: "canary: no answer: the answer is unreadable, or ended early"},
		{name: "a web page", serve: status(200, "<html>"), cause: "canary: unusable answer: ", has: []string{"request_id", "http.response.status_code", "total_ms"}},
		{name: "no token", serve: status(200, `{"iceServers":[]}`), cause: "canary: unusable answer: ", has: []string{"request_id", "http.response.status_code", "total_ms"}},
		{name: "nothing listens", env: core.Env{"CANARY_URL": "http://127.0.0.1:1/"}, cause: "canary: no answer: dial tcp 127.0.0.1:1:"},
		{name: "no such name", env: core.Env{"CANARY_URL": "https://orga.invalid/"}, cause: "canary: no answer: dial tcp: lookup orga.invalid"},
		{name: "no address", env: core.Env{"CANARY_URL": ""}, cause: "canary: CANARY_URL must be an address"},
		{name: "the key's source is wrong", serve: answers(time.Minute, working), env: core.Env{"CANARY_HMAC_KEY_SOURCE": "nowhere:key"}, cause: "canary: CANARY_HMAC_KEY_SOURCE: "},
		{name: "the key may not be read", serve: answers(time.Minute, working), env: core.Env{"CANARY_HMAC_KEY_SOURCE": "store:key"}, cause: "canary: HMAC key: refused by the store: AccessDeniedException"},
		{name: "the key is none", serve: answers(time.Minute, working), env: core.Env{"CANARY_HMAC_KEY_SOURCE": "env:KEY", "KEY": "short"}, cause: "canary: hmac: the key must be 32 or more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := core.Env{}
			if tt.serve != nil {
				server := httptest.NewServer(tt.serve)
				defer server.Close()
				env["CANARY_URL"] = server.URL + "/api/orga-client-secrets"
			}
			maps.Copy(env, tt.env)
			result, line := run(t, env)
			want := []string{"time", "level", "msg", "metric", "function", "_aws"}
			if tt.cause == "" {
				want = append(want, "canary_ok")
			} else {
				want = append(want, "canary_failed", "cause")
			}
			want = append(want, tt.has...)
			var got []string
			for name := range line {
				got = append(got, name)
			}
			slices.Sort(want)
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("the line has\n%v, want\n%v", got, want)
			}
			cause, _ := line["cause"].(string)
			if result.OK != (tt.cause == "") || cause != result.Cause || !strings.HasPrefix(cause, tt.cause) {
				t.Errorf("%+v, %v", result, line)
			}
			if level := map[bool]string{true: "INFO", false: "ERROR"}[result.OK]; line["level"] != level {
				t.Errorf("the level is %v, want %s", line["level"], level)
			}
		})
	}
}

// The request is signed like a backend's, even during a rotation of the key.
func TestRunSigns(t *testing.T) {
	api := orgatest.New(t)
	api.FailAll(orga.CallICE, orgatest.Status(200, "[]"))
	var log bytes.Buffer
	cfg := core.ConfigFromEnv(core.Env{
		"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": api.URL, "ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:KEY", "KEY": hmacKey,
	})
	cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	server := httptest.NewServer(core.New(t.Context(), cfg, core.Drivers{}))
	caller := sha256.Sum256([]byte("hmac\ncanary"))
	for keys, ok := range map[string]bool{hmacKey: true, hmacKey + "\n" + strings.Repeat("z", 32): true, strings.Repeat("z", 32): false} {
		result, line := run(t, core.Env{"CANARY_URL": server.URL + "/api/orga-client-secrets", "CANARY_HMAC_KEY_SOURCE": "env:KEY", "KEY": keys})
		if result.OK != ok {
			t.Errorf("with %d characters of keys: %+v %v", len(keys), result, line)
		}
	}
	server.Close()
	if n := strings.Count(log.String(), fmt.Sprintf(`"user.hash":"%x"`, caller[:8])); n != 2 {
		t.Errorf("%d requests of the caller canary, want 2: %s", n, &log)
	}
}

// Each run opens a new connection, as a new user does.
func TestRunConnectsEachTime(t *testing.T) {
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(answers(time.Minute, "[]"))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := FromEnv(core.Env{"CANARY_URL": server.URL}, nil, slog.New(slog.DiscardHandler))
	for range 3 {
		if result, _ := c.Run(t.Context()); !result.OK {
			t.Error(result)
		}
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("%d connections for 3 runs", n)
	}
}

// A list of a thousand TURN servers, which may belong to anybody, is not checked completely.
func TestManyTURNServers(t *testing.T) {
	turn := startTURN(t, relayed)
	list, err := json.Marshal([]map[string]any{{"urls": slices.Repeat([]string{turn, turn + "?" + strings.Repeat("x", 1000)}, 500), "username": "u", "credential": "c"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(answers(time.Minute, string(list)))
	defer server.Close()
	_, line := run(t, core.Env{"CANARY_URL": server.URL})
	if text, _ := line["turn"].(string); len(strings.Fields(text)) != maxServers {
		t.Errorf("%d TURN servers were asked, want %d", len(strings.Fields(text)), maxServers)
	}
}

// A hanging endpoint is reported within the function's timeout.
func TestRunTimesOut(t *testing.T) {
	if most := mintTimeout + turnTimeout; most > 20*time.Second {
		t.Errorf("a run takes up to %v, and template.yaml allows 30 s", most)
	}
}
