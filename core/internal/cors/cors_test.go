package cors_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/internal/cors"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
	"github.com/orga-session/orga-session/core/platform"
)

const app = "https://app.example"

func newCORS(t testing.TB, origins ...string) *cors.Policy {
	t.Helper()
	c, err := cors.New(origins)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// corsHeaders returns w's headers that start with Access-Control-.
func corsHeaders(w *httptest.ResponseRecorder) (names []string) {
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") {
			names = append(names, name)
		}
	}
	return names
}

func TestOriginsThatMayMint(t *testing.T) {
	for _, tt := range []struct {
		name    string
		listed  []string
		origin  string
		allowed bool
	}{
		{"fault 35: listed", []string{app}, app, true},
		{"listed second", []string{"https://other.example", app}, app, true},
		{"listed with its port", []string{"http://localhost:5173"}, "http://localhost:5173", true},
		{"an app in a web view", []string{"capacitor://localhost"}, "capacitor://localhost", true},
		{"a page of an Electron app", []string{"app://."}, "app://.", true},
		{"a page of a browser extension", []string{"chrome-extension://abcdefgh"}, "chrome-extension://abcdefgh", true},
		{"an app of another name", []string{"app://."}, "app://other", false},
		{"the request's own, without https", nil, "http://example.com", false},
		{"fault 34: none listed", nil, app, false},
		{"fault 34: null", []string{app}, "null", false},
		{"fault 34: look-alike before", []string{app}, "https://evilapp.example", false},
		{"fault 34: look-alike after", []string{app}, "https://app.example.evil.example", false},
		{"fault 34: subdomain", []string{app}, "https://x.app.example", false},
		{"fault 34: trailing dot", []string{app}, "https://app.example.", false},
		{"fault 34: trailing slash", []string{app}, "https://app.example/", false},
		{"fault 34: other scheme", []string{app}, "http://app.example", false},
		{"fault 34: upper-case scheme", []string{app}, "HTTPS://app.example", false},
		{"fault 34: upper-case host", []string{app}, "https://App.example", false},
		{"fault 34: other port", []string{app}, "https://app.example:8443", false},
		{"fault 34: default port", []string{app}, "https://app.example:443", false},
		{"a user in it", []string{app}, "https://a@app.example", false},
		{"a list", []string{app}, app + " " + app, false},
		{"a star", []string{app}, "*", false},
		{"the request's own host by https", nil, "https://example.com", false},
		{"the request's own host, another port", nil, "http://example.com:8080", false},
		{"a host that begins like the request's own", nil, "http://example.com.evil.example", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(requesttest.Minted)
			h := newCORS(t, tt.listed...).Mint(m)

			w := requesttest.Serve(h, requesttest.New("Origin", tt.origin))
			got := w.Header()["Access-Control-Allow-Origin"]
			if tt.allowed {
				if m.N != 1 || len(got) != 1 || got[0] != tt.origin {
					t.Errorf("minted %d times with Access-Control-Allow-Origin %q; want once, and the origin once", m.N, got)
				}
				if want := "Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Server-Timing"; w.Header().Get("Access-Control-Expose-Headers") != want {
					t.Errorf("exposed: %q", w.Header().Get("Access-Control-Expose-Headers"))
				}
			} else if m.N != 0 || requesttest.Code(t, w) != "forbidden" || len(corsHeaders(w)) > 0 {
				t.Errorf("minted %d times, code %q, headers %q; want a bare 403", m.N, requesttest.Code(t, w), corsHeaders(w))
			}
			if w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies are let in")
			}
			if vary := w.Header()["Vary"]; len(vary) != 1 || vary[0] != "Origin" {
				t.Errorf("Vary %q, want Origin once", vary)
			}

			r := requesttest.New("Origin", tt.origin, "Access-Control-Request-Method", "POST")
			r.Method = http.MethodOptions
			w = requesttest.Serve(h, r)
			if w.Code != http.StatusNoContent || (len(corsHeaders(w)) > 0) != tt.allowed {
				t.Errorf("preflight: %d with headers %q", w.Code, corsHeaders(w))
			}
		})
	}
}

func TestTwoOriginHeadersAreRefused(t *testing.T) {
	m := new(requesttest.Minted)
	if w := requesttest.Serve(newCORS(t, app).Mint(m), requesttest.New("Origin", app, "Origin", app)); requesttest.Code(t, w) != "forbidden" || m.N != 0 {
		t.Errorf("code %q, minted %d times", requesttest.Code(t, w), m.N)
	}
}

// The endpoint's own origin needs no listing if nobody else can use its name: over https, or on this machine.
func TestOwnOrigin(t *testing.T) {
	const own = "https://orga.example"
	for _, tt := range []struct {
		name         string
		host, origin string
		tls, https   bool // here, at the platform
		allowed      bool
	}{
		{"TLS here", "orga.example", own, true, false, true},
		{"TLS at the platform", "orga.example", own, false, true, true},
		{"with a port", "orga.example:8443", own + ":8443", true, false, true},
		{"nobody knows of TLS", "orga.example", own, false, false, false},
		{"a page without TLS, rebound to us", "evil.example", "http://evil.example", false, false, false},
		{"the same, at the platform", "evil.example", "http://evil.example", false, true, false},
		{"the same, TLS here", "evil.example", "http://evil.example", true, false, false},
		{"another host", "orga.example", "https://evil.example", true, true, false},
		{"another port", "orga.example", own + ":8443", true, false, false},
		{"another scheme", "orga.example", "app://orga.example", true, true, false},
		{"localhost", "localhost:8080", "http://localhost:8080", false, false, true},
		{"localhost behind sam local", "localhost:3000", "http://localhost:3000", false, true, true},
		{"localhost with TLS", "localhost", "https://localhost", true, false, true},
		{"another port of localhost", "localhost:8080", "http://localhost:3000", false, false, false},
		{"127.0.0.1", "127.0.0.1:8080", "http://127.0.0.1:8080", false, false, true},
		{"::1", "[::1]:8080", "http://[::1]:8080", false, false, true},
		{"an app of localhost's name", "localhost", "capacitor://localhost", false, false, false},
		{"an address of the network", "192.168.1.7:8080", "http://192.168.1.7:8080", false, false, false},
		{"without a host nothing is its own", "", "https://", true, true, false},
		{"no origin at all", "", "null", true, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(requesttest.Minted)
			r := requesttest.New("Origin", tt.origin, "X-Forwarded-Proto", "https")
			r.Host = tt.host
			if tt.tls {
				r.TLS = new(tls.ConnectionState)
			}
			r = r.WithContext(platform.With(r.Context(), platform.Info{HTTPS: tt.https}))
			w := requesttest.Serve(newCORS(t).Mint(m), r)
			if (m.N == 1) != tt.allowed || (len(corsHeaders(w)) > 0) != tt.allowed {
				t.Errorf("minted %d times with %q, want allowed %v", m.N, corsHeaders(w), tt.allowed)
			}
		})
	}
}

func TestRequestsWithoutOrigin(t *testing.T) {
	m := new(requesttest.Minted)
	if w := requesttest.Serve(newCORS(t).Mint(m), requesttest.New()); m.N != 1 || len(corsHeaders(w)) > 0 {
		t.Errorf("minted %d times, headers %q", m.N, corsHeaders(w))
	}
}

func TestSecFetch(t *testing.T) {
	for _, tt := range []struct {
		site, mode, origin string
		minted             bool
	}{
		{"", "", "", true}, // a program, an old browser
		{"none", "navigate", "", true},
		{"same-origin", "cors", "", true},
		{"same-origin", "no-cors", "", true},
		{"same-site", "no-cors", "", true},
		{"same-site", "cors", app, true},
		{"cross-site", "cors", app, true},
		{"cross-site", "cors", "https://evil.example", false},
		{"same-site", "cors", "https://evil.example", false},
		{"cross-site", "navigate", "", false},  // fault 27: a link
		{"cross-site", "no-cors", "", false},   // fault 27: an image
		{"cross-site", "navigate", app, false}, // fault 27: a form
		{"cross-site", "no-cors", app, false},
		{"cross-site", "websocket", app, false},
		{"cross-site", "", "", false},
		{"Cross-Site", "no-cors", "", false},
		{"something-new", "navigate", "", false},
	} {
		t.Run("fault 27: "+tt.site+" "+tt.mode+" "+tt.origin, func(t *testing.T) {
			m := new(requesttest.Minted)
			r := requesttest.New("Sec-Fetch-Site", tt.site, "Sec-Fetch-Mode", tt.mode)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			w := requesttest.Serve(newCORS(t, app).Mint(m), r)
			if (m.N == 1) != tt.minted {
				t.Errorf("minted %d times", m.N)
			}
			if !tt.minted && requesttest.Code(t, w) != "forbidden" {
				t.Errorf("code %q", requesttest.Code(t, w))
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	quiet := false
	h := newCORS(t, app).Mint(http.NotFoundHandler())
	spy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		quiet = request.From(r.Context()).Quiet
	})
	preflight := func(headers ...string) *httptest.ResponseRecorder {
		r := requesttest.New(headers...)
		r.Method = http.MethodOptions
		return requesttest.Serve(spy, r)
	}

	t.Run("granted", func(t *testing.T) {
		w := preflight("Origin", app, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":  app,
			"Access-Control-Allow-Methods": "GET, POST, OPTIONS",
			"Access-Control-Allow-Headers": "Authorization, Content-Type, X-Request-Id",
			"Access-Control-Max-Age":       "7200",
			"Vary":                         "Origin",
		} {
			if got := w.Header()[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q once", name, got, want)
			}
		}
		if w.Code != http.StatusNoContent || w.Body.Len() > 0 {
			t.Errorf("%d with %d bytes", w.Code, w.Body.Len())
		}
		if !quiet {
			t.Error("it would be logged like a mint")
		}
	})
	t.Run("lists what is allowed, whatever is requested", func(t *testing.T) {
		w := preflight("Origin", app, "Access-Control-Request-Method", "DELETE", "Access-Control-Request-Headers", "x-evil",
			"Access-Control-Request-Private-Network", "true")
		if got := w.Header().Get("Access-Control-Allow-Methods"); got != "GET, POST, OPTIONS" {
			t.Errorf("methods %q", got)
		}
		if strings.Contains(strings.ToLower(w.Header().Get("Access-Control-Allow-Headers")), "evil") {
			t.Error("a header was granted that is not allowed")
		}
		if w.Header().Get("Access-Control-Allow-Private-Network") != "" {
			t.Error("a private network was opened")
		}
	})
	t.Run("without an Origin", func(t *testing.T) {
		for _, headers := range [][]string{nil, {"Access-Control-Request-Method", "POST"}} {
			if w := preflight(headers...); w.Code != http.StatusNoContent || len(corsHeaders(w)) > 0 {
				t.Errorf("%q: %d, %q", headers, w.Code, corsHeaders(w))
			}
		}
	})
	t.Run("fault 35: a listed origin, even without other headers", func(t *testing.T) {
		if w := preflight("Origin", app); w.Code != http.StatusNoContent || len(w.Header()["Access-Control-Allow-Origin"]) != 1 {
			t.Errorf("%d, %q", w.Code, corsHeaders(w))
		}
	})
	t.Run("fault 36: larger than 8 KiB", func(t *testing.T) {
		for _, headers := range [][]string{
			{"Access-Control-Request-Headers", strings.Repeat("a,", 512<<10)},
			{"Access-Control-Request-Headers", strings.Repeat("a", 5000), "X-Padding", strings.Repeat("a", 5000)},
		} {
			w := preflight(append(headers, "Origin", app, "Access-Control-Request-Method", "POST")...)
			if w.Code != http.StatusRequestHeaderFieldsTooLarge || requesttest.Code(t, w) != "headers_too_large" {
				t.Errorf("%d, code %q", w.Code, requesttest.Code(t, w))
			}
		}
		if w := preflight("Origin", app, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", strings.Repeat("a", 7000)); w.Code != http.StatusNoContent {
			t.Errorf("7000 bytes: %d", w.Code)
		}
	})
}

func TestErrorsCarryCORSHeaders(t *testing.T) {
	c := newCORS(t, app)
	broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request.Fail(w, r, problem.New(problem.UpstreamError, nil))
	})
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a test's") })
	for name, h := range map[string]http.Handler{
		"fault 35: an error":        c.Mint(broken),
		"fault 35: a panic":         c.Mint(panics),
		"fault 35: before a tenant": c.Headers(broken),
		"both":                      c.Headers(c.Mint(broken)),
	} {
		w := requesttest.Serve(h, requesttest.New("Origin", app))
		if got := w.Header()["Access-Control-Allow-Origin"]; w.Code < 500 || len(got) != 1 || got[0] != app {
			t.Errorf("%s: %d with Access-Control-Allow-Origin %q", name, w.Code, got)
		}
	}
	if w := requesttest.Serve(c.Headers(broken), requesttest.New("Origin", "https://evil.example")); requesttest.Code(t, w) != "upstream_error" || len(corsHeaders(w)) > 0 {
		t.Errorf("another origin: code %q with %q", requesttest.Code(t, w), corsHeaders(w))
	}
}

func TestOriginsInBrowserForm(t *testing.T) {
	for _, good := range []string{
		app, "http://app.example", "https://app.example:8443", "http://localhost", "http://localhost:3000", "http://127.0.0.1:8080",
		"http://[::1]:3000", "https://xn--bcher-kva.example", "https://a-b_c.example", "http://example.com:443", "https://example.com:80",
		"capacitor://localhost", "chrome-extension://abcdefgh", "app://.", "app://Bundle_1/", "https://3d-print.example", "https://intranet",
	} {
		if _, err := cors.New([]string{good}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "*", "null", "app.example", "//app.example", "https:app.example", "https://", "https:///", "https://*", "https://*.example.com",
		"https://app.example/", "https://app.example/path", "https://app.example?q", "https://app.example#f", "https://user@app.example",
		"HTTPS://app.example", "https://App.example", "https://bücher.example", "https://app.example.", "https://.example", "https://a..example",
		"https://app.example:443", "http://app.example:80", "https://app.example:", "https://app.example:0", "https://app.example:080",
		"https://app.example:65536", "https://app.example:http", "https://app.example:-1", " https://app.example", "https://app.example ",
		"https://app example", "https://app.example,https://b.example", "http://127.1", "http://127.0.0.01", "http://1.2.3.4.5", "http://0x7f.0x1",
		"http://[::1", "http://::1", "http://[::0001]", "http://[::1%25eth0]", "http://[::ffff:1.2.3.4]", "http://[1.2.3.4]", "file://", "file:///index.html", "1http://a",
		"app:.", "App://.", "app://a b", "app://a,b", `app://"a"`, "app://'a'", "app://\n", "app://ü",
		"https://" + strings.Repeat("a", 64), "https://" + strings.Repeat("abc.", 64) + "example", "https://app.example\n",
	} {
		_, err := cors.New([]string{app, bad})
		if err == nil {
			t.Errorf("%q passes", bad)
			continue
		}
		if !strings.Contains(err.Error(), "origin 2 of 2") || len(bad) > 7 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v: want its place and not its text", bad, err)
		}
	}
	if _, err := cors.New([]string{"*", app, "null"}); strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two faults are reported as %q", err)
	}
}

func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{app, "null", "*", "https://app.example:443", "http://[::1]:3000", "https://app.example.", "http://127.1", "http://example.com"} {
		f.Add(seed, seed)
		f.Add(app, seed)
	}
	f.Fuzz(func(t *testing.T, listed, origin string) {
		c, err := cors.New([]string{listed})
		if err != nil {
			return
		}
		u, err := url.Parse(listed)
		if strings.HasPrefix(listed, "http://") || strings.HasPrefix(listed, "https://") {
			if err != nil || u.Scheme+"://"+u.Host != listed || u.User != nil || strings.ToLower(listed) != listed {
				t.Fatalf("%q is taken for an origin", listed)
			}
		} else if strings.ContainsAny(listed, " \t\r\n\"',") || !strings.Contains(listed, "://") {
			t.Fatalf("%q is taken for an origin", listed)
		}
		m := new(requesttest.Minted)
		w := requesttest.Serve(c.Mint(m), requesttest.New("Origin", origin))
		allowed := origin == listed
		if (m.N == 1) != allowed || (w.Header().Get("Access-Control-Allow-Origin") == origin && origin != "") != allowed {
			t.Fatalf("listed %q, origin %q: minted %d times, %q", listed, origin, m.N, corsHeaders(w))
		}
	})
}

// The log names the refused origin, if it has the form of one.
func TestRefusedOriginIsNamed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		origin []string
		cause  string
	}{
		{"an origin", []string{"https://other.example"}, "the origin is not listed: https://other.example"},
		{"what is none", []string{"https://other.example/?token=t"}, "the origin is not listed"},
		{"null", []string{"null"}, "the origin is not listed"},
		{"the same twice", []string{"https://a.example", "https://a.example"}, "the origin is not listed"},
		{"a long one", []string{strings.Repeat("a", 300) + "://app.example"}, "the origin is not listed"},
	} {
		for method, status := range map[string]string{http.MethodGet: "403", http.MethodOptions: "204"} {
			var log bytes.Buffer
			h := request.Handler(newCORS(t, app).Mint(new(requesttest.Minted)), slog.New(slog.NewJSONHandler(&log, nil)))
			r := httptest.NewRequest(method, "/", nil)
			r.Header["Origin"] = tt.origin
			h.ServeHTTP(httptest.NewRecorder(), r)
			for _, member := range []string{`"level":"INFO"`, `"error.type":"forbidden"`, `"http.response.status_code":` + status, `"cause":"` + tt.cause + `"`} {
				if !strings.Contains(log.String(), member) {
					t.Errorf("%s by %s: no %s in %s", tt.name, method, member, log.String())
				}
			}
		}
	}
}

// A mint's line has the page's origin; a refused origin is only in the cause.
func TestAllowedOriginIsLogged(t *testing.T) {
	for origin, logged := range map[string]bool{app: true, "": false, "https://other.example": false} {
		var log bytes.Buffer
		r := requesttest.New()
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		request.Handler(newCORS(t, app).Mint(new(requesttest.Minted)), slog.New(slog.NewJSONHandler(&log, nil))).ServeHTTP(httptest.NewRecorder(), r)
		if strings.Contains(log.String(), `"origin":"`+origin+`"`) != logged || strings.Contains(log.String(), `"origin"`) != logged {
			t.Errorf("%q: %s", origin, log.String())
		}
	}
}

// An answered preflight is logged only at debug level.
func TestPreflightsAreQuiet(t *testing.T) {
	for _, origin := range []string{app, ""} {
		var log bytes.Buffer
		h := request.Handler(newCORS(t, app).Mint(new(requesttest.Minted)), slog.New(slog.NewJSONHandler(&log, nil)))
		r := httptest.NewRequest(http.MethodOptions, "/", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if log.Len() > 0 {
			t.Errorf("from %q: %s", origin, log.String())
		}
	}
}
