package probe

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain unsets the proxies; a test that needs one sets it.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		_ = os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// proxy is a CONNECT proxy; before may refuse the request.
func proxy(t *testing.T, before http.HandlerFunc) func(*http.Request) (*url.URL, error) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before != nil {
			before(w, r)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n") // the client sends only after this
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	}))
	t.Cleanup(s.Close)
	return at(s.Listener.Addr().String())
}

func at(address string) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: "http", Host: address, User: url.UserPassword("user", "password-of-the-proxy")})
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestThroughAProxy(t *testing.T) {
	for _, tt := range []struct {
		name    string
		proxy   func(*http.Request) (*url.URL, error)
		outcome Outcome
		says    []string
	}{
		{"a proxy that connects", proxy(t, nil), Works, []string{"through the proxy http://127.0.0.1:"}},
		{"a proxy that cannot connect", proxy(t, status(502)), Broken, []string{"no connection through the proxy http://127.0.0.1:", "502 Bad Gateway", "NO_PROXY"}},
		{"a proxy that refuses", proxy(t, status(403)), Broken, []string{"no connection through the proxy", "403 Forbidden", "NO_PROXY"}},
		{"a proxy that requires a password", proxy(t, status(407)), Broken, []string{"407 Proxy Authentication Required"}},
		{"a proxy that hangs", proxy(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), Broken,
			[]string{"no connection through the proxy", "no answer within"}},
		{"a proxy that is down", at("127.0.0.1:1"), NotRun, []string{"no connection through the proxy", "refused", "HTTPS_PROXY", "add 127.0.0.1 to NO_PROXY"}},
		{"a proxy whose name does not resolve", at("no-such-host.invalid:3128"), NotRun, []string{"no-such-host.invalid", "HTTPS_PROXY"}},
		{"a proxy with a malformed address", func(*http.Request) (*url.URL, error) { return nil, errors.New("password-of-the-proxy") }, NotRun,
			[]string{"HTTPS_PROXY: want the address of a proxy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t)
			r := e.probe(t, Options{Proxy: tt.proxy, Timeout: 2 * time.Second})
			if r.Outcome != tt.outcome {
				t.Errorf("%s, want %s", r.Outcome, tt.outcome)
			}
			var out strings.Builder
			if err := r.Print(&out, false); err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, &out)
				}
			}
			if strings.Contains(out.String(), "firewall") || strings.Contains(out.String(), "password-of-the-proxy") {
				t.Errorf("a firewall is blamed, or the password shown:\n%s", &out)
			}
		})
	}
}

// STUN and TURN servers are contacted directly; if one is not reached, the remedy says so.
func TestServersBypassProxy(t *testing.T) {
	e := newEndpoint(t)
	e.config = func(c map[string]any, _ int) {
		c["iceServers"] = []any{map[string]any{"urls": "turn:127.0.0.1:1?transport=tcp", "username": "u", "credential": "p"}}
	}
	r := e.probe(t, Options{Proxy: proxy(t, nil)})
	if !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.ID == "turn" && strings.HasSuffix(c.Remedy, "without the proxy.") }) {
		t.Errorf("%+v", r.Checks)
	}
}
