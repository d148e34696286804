package probe

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// silence is the timeout of tests with a silent server; it suffices for the rest of a run.
const silence = time.Second

// TestFaults injects one fault at a time; the probe must report exactly that one.
func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		fault  func(t *testing.T, e *endpoint)
		fails  []string
		detail string // of the first check that fails
		o      Options
	}{
		{name: "no CORS", fails: []string{"cors.preflight", "cors.request"}, detail: "no Access-Control-Allow-Origin",
			fault: func(_ *testing.T, e *endpoint) { e.after = func(h http.Header) { h.Del(allowOrigin) } }},
		{name: "wrong origin", fails: []string{"cors.preflight", "cors.request"}, detail: "no Access-Control-Allow-Origin",
			fault: func(_ *testing.T, e *endpoint) { e.origins = []string{"https://other.example"} }},
		{name: "another origin is allowed", fails: []string{"cors.preflight", "cors.request", "cors.foreign"}, detail: "another origin is allowed",
			fault: func(_ *testing.T, e *endpoint) {
				e.after = func(h http.Header) { h.Set(allowOrigin, "https://other.example") }
			}},
		{name: "CORS twice", fails: []string{"cors.preflight", "cors.request"}, detail: "2 Access-Control-Allow-Origin",
			fault: func(_ *testing.T, e *endpoint) {
				e.after = func(h http.Header) {
					if h.Get(allowOrigin) != "" {
						h.Add(allowOrigin, page)
					}
				}
			}},
		{name: "CORS for everybody", fails: []string{"cors.foreign"}, detail: "any origin may mint",
			fault: func(_ *testing.T, e *endpoint) { e.after = func(h http.Header) { h.Set(allowOrigin, "*") } }},
		{name: "mints for everybody", fails: []string{"cors.foreign"}, detail: "the owner pays",
			fault: func(_ *testing.T, e *endpoint) {
				e.origins = append(e.origins, foreignOrigin)
				e.after = func(h http.Header) {
					if h.Get(allowOrigin) == foreignOrigin {
						h.Del(allowOrigin)
					}
				}
			}},
		{name: "preflight requires a credential", fails: []string{"cors.preflight"}, detail: "OPTIONS is answered with 401",
			fault: func(_ *testing.T, e *endpoint) {
				e.before = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodOptions {
						refuse(w, 401, "unauthenticated")
					}
					return r.Method == http.MethodOptions
				}
			}},
		{name: "a header that CORS does not allow", fails: []string{"cors.preflight"}, detail: "x-odd",
			fault: func(*testing.T, *endpoint) {}, o: Options{Header: http.Header{"X-Odd": {"1"}}}},
		{name: "cached token", fails: []string{"fresh"}, detail: "cached",
			fault: func(_ *testing.T, e *endpoint) {
				cached := token(1, 2*time.Minute)
				e.config = func(c map[string]any, _ int) { c["ephemeralToken"] = cached }
			}},
		{name: "no burst of two", fails: []string{"fresh"}, detail: "429 rate_limited",
			fault: func(_ *testing.T, e *endpoint) {
				e.before = func(w http.ResponseWriter, r *http.Request) bool {
					if e.mints.Load() == 0 || r.Method == http.MethodOptions {
						return false
					}
					refuse(w, 429, "rate_limited")
					return true
				}
			}},
		{name: "expired token, by the answer", fails: []string{"expiry"}, detail: "expired 5s ago",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, _ int) { c["expiresIn"] = -5; delete(c, "expiresAt") }
			}},
		{name: "expired token, by the token", fails: []string{"expiry"}, detail: "expired",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, n int) { c["ephemeralToken"] = token(n, -time.Minute) }
			}},
		{name: "token too short-lived", fails: []string{"expiry"}, detail: "expires in 9s",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, _ int) { c["expiresIn"] = 9; delete(c, "expiresAt") }
			}},
		{name: "STUN dead", fails: []string{"stun stun"}, detail: "no answer over UDP", o: Options{Timeout: silence},
			fault: func(t *testing.T, e *endpoint) {
				dead := silent(t)
				e.config = func(c map[string]any, _ int) {
					c["iceServers"] = []any{map[string]any{"urls": dead.stunURL()}, e.turn.entry(e.turn.udpURL(), e.turn.tcpURL())}
				}
			}},
		{name: "STUN port closed", fails: []string{"stun stun"}, detail: "nothing listens on its port over UDP",
			fault: func(t *testing.T, e *endpoint) {
				s := gone(t)
				e.config = func(c map[string]any, _ int) {
					c["iceServers"] = []any{map[string]any{"urls": s.stunURL()}}
				}
			}},
		{name: "TURN credential wrong", fails: []string{"turn turn udp", "turn turn tcp", "turn turns tcp"}, detail: "refuses the credential",
			fault: func(_ *testing.T, e *endpoint) { e.turn.credential = "stale" }},
		{name: "TURN over UDP blocked, TCP fine", fails: []string{"turn turn udp"}, detail: "UDP is blocked", o: Options{Timeout: silence},
			fault: func(t *testing.T, e *endpoint) {
				s := withoutUDP(t)
				e.config = func(c map[string]any, _ int) { c["iceServers"] = []any{s.entry(s.udpURL(), s.tcpURL())} }
			}},
		{name: "TURN over UDP blocked, STUN and TCP fine", fails: []string{"turn turn udp"}, detail: "UDP is blocked", o: Options{Timeout: silence},
			fault: func(t *testing.T, e *endpoint) {
				s := withoutUDP(t)
				e.config = func(c map[string]any, _ int) {
					c["iceServers"] = []any{map[string]any{"urls": e.turn.stunURL()}, s.entry(s.udpURL(), s.tcpURL())}
				}
			}},
		{name: "TURN down", fails: []string{"turn turn tcp"}, detail: "nothing listens on its port over TCP",
			fault: func(t *testing.T, e *endpoint) {
				s := gone(t)
				e.config = func(c map[string]any, _ int) { c["iceServers"] = []any{s.entry(s.tcpURL())} }
			}},
		{name: "turns: without TLS", fails: []string{"turn turns tcp"}, detail: "does not speak TLS",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, _ int) {
					c["iceServers"] = []any{e.turn.entry(strings.Replace(e.turn.tcpURL(), "turn:", "turns:", 1))}
				}
			}},
		{name: "turns: with a certificate for another name", fails: []string{"turn turns tcp"}, detail: "another name",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, _ int) {
					c["iceServers"] = []any{e.turn.entry(strings.Replace(e.turn.tlsURL(), "127.0.0.1", "localhost", 1))}
				}
			}},
		{name: "a TURN entry without a credential", fails: []string{"ice"}, detail: "entry 2 of 2: it is a TURN server without a credential",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, _ int) { c["iceServers"].([]any)[1].(map[string]any)["credential"] = nil }
			}},
		{name: "an entry without urls", fails: []string{"ice"}, detail: "urls is missing",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, _ int) { c["iceServers"] = []any{map[string]any{"url": "stun:a"}} }
			}},
		{name: "no iceServers", fails: []string{"config"}, detail: "iceServers is missing",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, _ int) { delete(c, "iceServers") }
			}},
		{name: "no token", fails: []string{"config"}, detail: "ephemeralToken is missing",
			fault: func(_ *testing.T, e *endpoint) { e.config = func(c map[string]any, _ int) { c["ephemeralToken"] = "" } }},
		{name: "not JSON", fails: []string{"config"}, detail: "not a JSON object",
			fault: func(_ *testing.T, e *endpoint) { e.before = answers(200, "application/json", "ok") }},
		{name: "an endless body", fails: []string{"config"}, detail: "larger than",
			fault: func(_ *testing.T, e *endpoint) {
				e.before = answers(200, "application/json", strings.Repeat(" ", maxBody+1))
			}},
		{name: "HTML instead of JSON", fails: []string{"status"}, detail: "HTML instead of JSON",
			fault: func(_ *testing.T, e *endpoint) { e.before = answers(200, "text/html", "<!doctype html>") }},
		{name: "401", fails: []string{"status"}, detail: "401 unauthenticated",
			fault: func(_ *testing.T, e *endpoint) {
				e.before = answers(401, "application/problem+json", `{"code":"unauthenticated","requestId":"r1"}`)
			}},
		{name: "429", fails: []string{"status"}, detail: "429 rate_limited, retry in 7 s",
			fault: func(_ *testing.T, e *endpoint) {
				e.before = answers(429, "application/problem+json", `{"code":"rate_limited","requestId":"r1"}`, "Retry-After", "7")
			}},
		{name: "a gateway's 403", fails: []string{"status"}, detail: "not from the endpoint",
			fault: func(_ *testing.T, e *endpoint) {
				e.before = answers(403, "application/json", `{"message":"Forbidden"}`)
			}},
		{name: "redirect", fails: []string{"status"}, detail: "302, a redirect to https://elsewhere.example/login, which looks like a login",
			fault: func(_ *testing.T, e *endpoint) {
				e.before = answers(302, "text/html", "", "Location", "https://elsewhere.example/login?state=x")
			}},
		{name: "clock off by an hour", fails: []string{"clock"}, detail: "1h0m0s ahead",
			fault: func(_ *testing.T, e *endpoint) {
				e.after = func(h http.Header) { h.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)) }
				e.config = func(c map[string]any, _ int) { c["expiresIn"] = 120 - 3600 }
			}},
		{name: "expiresAt and expiresIn apart", fails: []string{"clock"}, detail: "expiresAt and expiresIn differ",
			fault: func(_ *testing.T, e *endpoint) { e.config = func(c map[string]any, _ int) { c["expiresIn"] = 60 } }},
		{name: "hanging", fails: []string{"status"}, detail: "hangs: no complete response within 2s", o: Options{Timeout: 2 * time.Second},
			fault: func(_ *testing.T, e *endpoint) {
				e.before = func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
			}},
		{name: "closes without a response", fails: []string{"status"}, detail: "closed before",
			fault: func(_ *testing.T, e *endpoint) {
				e.before = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
			}},
		{name: "no Cache-Control: no-store", fails: []string{"headers"}, detail: "no Cache-Control: no-store",
			fault: func(_ *testing.T, e *endpoint) { e.after = func(h http.Header) { h.Set("Cache-Control", "public") } }},
		{name: "the permanent key in the response", fails: []string{"secret"}, detail: "a permanent key",
			fault: func(_ *testing.T, e *endpoint) {
				e.config = func(c map[string]any, _ int) { c["debug"] = "sk_orga_ai_" + "test" }
			}},
		{name: "a certificate for another name", fails: []string{"tls"}, detail: "another name", o: Options{URL: "localhost"},
			fault: func(*testing.T, *endpoint) {}},
		{name: "endpoint down", fails: []string{"reach"}, detail: "refused",
			fault: func(_ *testing.T, e *endpoint) { e.Close() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t)
			test.fault(t, e)
			if test.o.URL != "" {
				test.o.URL = strings.Replace(e.URL, "127.0.0.1", test.o.URL, 1)
			}
			test.o.Origin = page
			r := e.probe(t, test.o)
			if got := problems(r, Fail); r.Outcome != Broken || !slices.Equal(got, test.fails) {
				t.Fatalf("%s, fails %q, want %q\n%+v", r.Outcome, got, test.fails, r.Checks)
			}
			for _, c := range r.Checks {
				if c.Status != Fail {
					continue
				}
				if !strings.Contains(c.Detail, test.detail) {
					t.Errorf("%s: %q, want %q in it", c.ID, c.Detail, test.detail)
				}
				if c.Remedy == "" {
					t.Errorf("%s: no remedy", c.ID)
				}
				break
			}
			if n := int(e.mints.Load()); n > 3 {
				t.Errorf("%d mints", n)
			}
		})
	}
}
