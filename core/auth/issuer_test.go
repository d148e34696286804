package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

// slow is a transport that delays another.
type slow struct {
	http.RoundTripper
	after time.Duration
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(s.after):
		return s.RoundTripper.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// within returns r with a time budget.
func within(t *testing.T, r *http.Request, budget time.Duration) *http.Request {
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	t.Cleanup(cancel)
	return r.WithContext(ctx)
}

// fault 55: a caller waits for a slow issuer as long as its budget allows.
func TestSlowIssuer(t *testing.T) {
	good := func(idp *issuer) *http.Request { return bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))) }
	for _, tt := range []struct {
		answers, budget, took time.Duration
		want                  string
	}{
		{1100 * time.Millisecond, 8 * time.Second, 2200 * time.Millisecond, ""},
		{1500 * time.Millisecond, 8 * time.Second, 3 * time.Second, ""},
		{2900 * time.Millisecond, 8 * time.Second, 5800 * time.Millisecond, ""},
		{3100 * time.Millisecond, 8 * time.Second, 6 * time.Second, "auth_unavailable"}, // a quarter is for the mint
		{4 * time.Second, 20 * time.Second, 8 * time.Second, ""},
		{6 * time.Second, 20 * time.Second, 10 * time.Second, "auth_unavailable"},
	} {
		t.Run(fmt.Sprintf("%v an answer, %v to spend", tt.answers, tt.budget), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				idp := newIssuer("https://id.example", public(kid1, ecKey()))
				h := behind(oidc(slow{idp, tt.answers}, auth.OIDCConfig{}),
					http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // many at once
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						start := time.Now()
						w := requesttest.Serve(h, within(t, good(idp), tt.budget))
						if got := requesttest.Code(t, w); got != tt.want || time.Since(start) != tt.took {
							t.Errorf("code %q after %v, want %q after %v", got, time.Since(start), tt.want, tt.took)
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Minute)
				if discovery, keys := idp.counts(); discovery != 1 || tt.want == "" && keys != 1 {
					t.Errorf("%d fetches of discovery and %d of keys", discovery, keys)
				}
			})
		})
	}
	t.Run("a fetch continues after its callers' timeouts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, _ := whole(oidc(slow{idp, 1500 * time.Millisecond}, auth.OIDCConfig{}))
			for i, want := range []string{"auth_unavailable", "auth_unavailable", ""} { // 750 ms each, and then the rest
				if got := requesttest.Code(t, requesttest.Serve(h, within(t, good(idp), []time.Duration{time.Second, time.Second, 8 * time.Second}[i]))); got != want {
					t.Errorf("caller %d: code %q, want %q", i, got, want)
				}
			}
			if discovery, keys := idp.counts(); discovery != 1 || keys != 1 {
				t.Errorf("%d fetches of discovery and %d of keys", discovery, keys)
			}
		})
	})
	t.Run("after a fetch whose caller has left, a rotation is noticed at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, _ := whole(oidc(slow{idp, time.Second}, auth.OIDCConfig{}))
			requesttest.Serve(h, within(t, good(idp), time.Second))
			time.Sleep(5 * time.Second)
			if got := requesttest.Code(t, requesttest.Serve(h, good(idp))); got != "" {
				t.Errorf("the next: code %q", got)
			}
			idp.set("", public("kid-2", otherECs()))
			if got := requesttest.Code(t, requesttest.Serve(h, bearer(token(jose.ES256, "kid-2", otherECs(), idp.claims(nil))))); got != "" {
				t.Errorf("a token of the new key: code %q", got)
			}
		})
	})
	t.Run("after a failed key fetch, the discovered URL is kept once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			var keysOut atomic.Bool
			keysOut.Store(true)
			h, _ := whole(oidc(transport(func(r *http.Request) *http.Response {
				w := httptest.NewRecorder()
				idp.ServeHTTP(w, r)
				if keysOut.Load() && r.URL.Path == "/keys" {
					w = httptest.NewRecorder()
					w.WriteHeader(http.StatusBadGateway)
				}
				return w.Result()
			}), auth.OIDCConfig{}))
			for i, discoveries := range []int{1, 1, 2, 2, 3} { // an address that has failed twice may be another by now
				got := requesttest.Code(t, requesttest.Serve(h, good(idp)))
				if discovery, keys := idp.counts(); got != "auth_unavailable" || discovery != discoveries || keys != i+1 {
					t.Errorf("code %q after %d fetches of discovery and %d of keys", got, discovery, keys)
				}
				time.Sleep(time.Second)
			}
			keysOut.Store(false)
			got := requesttest.Code(t, requesttest.Serve(h, good(idp)))
			if discovery, _ := idp.counts(); got != "" || discovery != 3 {
				t.Errorf("the keys are there: code %q after %d fetches of discovery", got, discovery)
			}
		})
	})
	t.Run("a transport that ignores its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			var hung atomic.Int32
			release := make(chan struct{})
			h, _ := whole(oidc(transport(func(*http.Request) *http.Response {
				hung.Add(1)
				<-release
				w := httptest.NewRecorder()
				w.WriteHeader(http.StatusBadGateway)
				return w.Result()
			}), auth.OIDCConfig{}))
			for range 20 {
				if got := requesttest.Code(t, requesttest.Serve(h, within(t, good(idp), 8*time.Second))); got != "auth_unavailable" {
					t.Errorf("code %q", got)
				}
				time.Sleep(10 * time.Second)
			}
			if n := hung.Load(); n != 4 {
				t.Errorf("%d fetches hang, want 4", n)
			}
			close(release)
		})
	})
}

// While an issuer hangs, a token holds its request only briefly once a fetch has failed, and not at all if its own claims show
// that it is not for us.
func TestHangingIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		transport := &slow{idp, time.Hour}
		h := behind(oidc(transport, auth.OIDCConfig{}), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		ask := func(name string, claims map[string]any, want string, atMost time.Duration) {
			t.Helper()
			start := time.Now()
			w := requesttest.Serve(h, within(t, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(claims))), 8*time.Second))
			if got, took := requesttest.Code(t, w), time.Since(start); got != want || took > atMost {
				t.Errorf("%s: code %q after %v, want %q within %v", name, got, took, want, atMost)
			}
		}
		refused := map[string]map[string]any{
			"another issuer":   {"iss": "https://other.example"},
			"another audience": {"aud": "other"},
			"a bad subject":    {"sub": []int{}},
			"expired":          {"exp": 1},
			"too early":        {"nbf": time.Now().Add(time.Hour).Unix()},
		}
		const brief = 450 * time.Millisecond
		for name, claims := range refused {
			ask(name+", before any failure", claims, "auth_unavailable", brief)
		}
		ask("before any failure", nil, "auth_unavailable", 6*time.Second)
		time.Sleep(5 * time.Second) // the fetch has failed, and the next may start
		for range 30 {
			ask("after a failure", nil, "auth_unavailable", brief)
			for name, claims := range refused {
				ask(name+", after a failure", claims, "auth_unavailable", 0)
			}
		}
		time.Sleep(10 * time.Second)

		synctest.Wait() // the fetches have ended
		transport.after = 1500 * time.Millisecond
		ask("while a fetch is slow", nil, "auth_unavailable", brief)
		time.Sleep(2600 * time.Millisecond)
		ask("the fetch has continued", nil, "", time.Millisecond)
	})
	t.Run("a failure of more than a minute ago", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, _ := whole(oidc(slow{idp, 1500 * time.Millisecond}, auth.OIDCConfig{}))
			good := func() *http.Request {
				return within(t, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))), 8*time.Second)
			}
			idp.set("out")
			requesttest.Serve(h, good())
			idp.set("")
			time.Sleep(time.Minute)
			if got := requesttest.Code(t, requesttest.Serve(h, good())); got != "" {
				t.Errorf("code %q", got)
			}
		})
	})
	t.Run("an unknown key ID", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			v := idp.verifier(t)
			_, _ = v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
			idp.set("hangs")
			for i, want := range []time.Duration{6 * time.Second, 450 * time.Millisecond} {
				start := time.Now()
				_, err := v.Verify(within(t, bearer(token(jose.ES256, "kid-2", otherECs(), idp.claims(nil))), 8*time.Second))
				if refused, _ := errors.AsType[*auth.UnavailableError](err); refused == nil || time.Since(start) != want {
					t.Errorf("fetch %d: %v after %v, want %v", i+1, err, time.Since(start), want)
				}
				time.Sleep(30 * time.Second)
			}
		})
	})
}

// fault 59: tokens that wait for keys take little more memory than their text.
func TestWaitingTokensTakeLittleMemory(t *testing.T) {
	claims := `"iss":"https://id.example","aud":"` + audience + `","sub":"ada","exp":4e9`
	fill := func(n int, member func(i int) string) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			b.WriteString(member(i))
		}
		return b.String()
	}
	number := func(i int) string { return fmt.Sprintf(`,"%d":1`, i) }
	nested := strings.Repeat(`{"":`, 2000) + "1" + strings.Repeat("}", 2000)
	for _, tt := range []struct {
		name, header, claims, want string
	}{
		{"a nested header", `{"alg":"ES256","kid":"1","x":` + nested + `}`, `{` + claims + `}`, "unauthenticated"},
		{"many header members", `{"alg":"ES256","kid":"1"` + fill(10_000, number) + `}`, `{` + claims + `}`, "unauthenticated"},
		{"a list as typ", `{"alg":"ES256","kid":"1","typ":["JWT"]}`, `{` + claims + `}`, "unauthenticated"},
		{"one header member twice", `{"alg":"ES256","kid":"1","kid":"2"}`, `{` + claims + `}`, "unauthenticated"},
		{"nested claims", `{"alg":"ES256","kid":"1"}`, `{` + claims + `,"x":` + nested + `}`, "auth_unavailable"},
		{"many claims", `{"alg":"ES256","kid":"1"}`, `{` + claims + fill(11_000, number) + `}`, "auth_unavailable"},
		{"a long claim", `{"alg":"ES256","kid":"1"}`, `{` + claims + `,"x":"` + strings.Repeat("x", 11_000) + `"}`, "auth_unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				idp := newIssuer("https://id.example", public(kid1, ecKey()))
				h := behind(oidc(slow{idp, time.Hour}, auth.OIDCConfig{}), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				const requests = 100
				var all []*http.Request
				for range requests {
					all = append(all, within(t, bearer(signES256(tt.header, tt.claims)), 8*time.Second))
				}
				heap := func() uint64 {
					var m runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&m)
					return m.HeapAlloc
				}
				before := heap()
				var wg sync.WaitGroup
				for _, r := range all {
					wg.Go(func() {
						if got := requesttest.Code(t, requesttest.Serve(h, r)); got != tt.want {
							t.Errorf("code %q, want %q", got, tt.want)
						}
					})
				}
				synctest.Wait()
				if each := (int64(heap()) - int64(before)) / requests; each > 32<<10 {
					t.Errorf("%d bytes for each token of %d", each, len(all[0].Header.Get("Authorization")))
				}
				time.Sleep(time.Minute) // the fetch has ended
			})
		})
	}
}

// fault 60: an issuer on the internet cannot direct requests to this machine or its network.
func TestDiscoveryThatPointsElsewhere(t *testing.T) {
	for _, tt := range []struct {
		issuer, keys string
		want         string // in the log; "" when the keys are fetched
	}{
		{"https://id.example", "https://id.example/keys", ""},
		{"https://id.example", "https://keys.example/?tenant=secret-query", ""},
		{"https://id.example", "https://8.8.8.8/keys", ""},
		{"https://id.example", "http://id.example/keys", "https"},
		{"https://id.example", "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next", "https"},
		{"https://id.example", "http://localhost/keys", "https"},
		{"https://id.example", "http://[::1]/keys", "https"},
		{"https://id.example", "https://127.0.0.1:8443/keys", "private"},
		{"https://id.example", "https://localhost/keys", "private"},
		{"https://id.example", "https://LOCALHOST./keys", "private"},
		{"https://id.example", "https://[::1]/keys", "private"},
		{"https://id.example", "https://[::ffff:127.0.0.1]/keys", "private"},
		{"https://id.example", "https://10.0.0.1/keys", "private"},
		{"https://id.example", "https://100.64.0.1/keys", "private"},
		{"https://id.example", "https://169.254.169.254/latest", "private"},
		{"https://id.example", "https://[64:ff9b::10.0.0.1]/keys", "private"}, // by NAT64
		{"https://id.example", "https://192.0.0.192/latest", "private"},
		{"https://id.example", "https://0.0.0.0/keys", "private"},
		{"https://id.example", "https://[fd00:ec2::254]/keys", "private"},
		{"https://id.example", "file:///etc/passwd", "jwks_uri"},
		{"https://id.example", "ftp://id.example/keys", "jwks_uri"},
		{"https://id.example", "/keys", "jwks_uri"},
		{"https://id.example", "https://" + strings.Repeat("a", 500_000) + ".example/keys", "jwks_uri must be a URL of at most 2048 bytes"},
		{"https://id.example", "https://user:secret-query@id.example/keys", "jwks_uri"},
		{"https://10.0.0.1", "https://10.0.0.2/keys", ""},
		{"https://10.0.0.1", "http://10.0.0.2/keys", "https"},
		{"https://localhost:8443", "http://localhost:8080/keys", "https"},
		{"https://localhost:8443", "https://127.0.0.1:8080/keys", ""},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/keys", ""},
		{"http://127.0.0.1:8080", "https://id.example/keys", ""},
		{"http://127.0.0.1:8080", "http://id.example/keys", "https"},
	} {
		var log bytes.Buffer
		asked := ""
		idp := newIssuer(tt.issuer, public(kid1, ecKey()))
		issuers := auth.Issuers{Log: slog.New(slog.NewTextHandler(&log, nil)), Transport: transport(func(r *http.Request) *http.Response {
			w := httptest.NewRecorder()
			if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, tt.issuer, tt.keys)
			} else {
				asked = r.URL.String()
				idp.ServeHTTP(w, r)
			}
			return w.Result()
		})}
		v := must(issuers.OIDC(auth.OIDCConfig{Issuer: tt.issuer, Audiences: []string{audience}}))
		_, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
		if (err == nil) != (tt.want == "") || (asked == tt.keys) != (tt.want == "") {
			t.Errorf("%s of %s: asked %q, %v", tt.keys, tt.issuer, asked, err)
		}
		if !strings.Contains(log.String(), tt.want) || strings.Contains(log.String(), "secret-query") {
			t.Errorf("%s: the log says %s, want %q", tt.keys, &log, tt.want)
		}
	}
}

// connected returns a transport whose connections all lead to one address.
type connected struct {
	to   net.Addr
	next http.RoundTripper
}

func (c connected) RoundTrip(r *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c})
	}
	return c.next.RoundTrip(r)
}

func (c connected) RemoteAddr() net.Addr { return c.to }

// Other methods of a net.Conn.
func (connected) Read([]byte) (int, error)         { return 0, io.EOF }
func (connected) Write([]byte) (int, error)        { return 0, io.EOF }
func (connected) Close() error                     { return nil }
func (connected) LocalAddr() net.Addr              { return nil }
func (connected) SetDeadline(time.Time) error      { return nil }
func (connected) SetReadDeadline(time.Time) error  { return nil }
func (connected) SetWriteDeadline(time.Time) error { return nil }

// fault 60: a name from an issuer on the internet may resolve to a private address, so it is fetched with a transport
// that checks addresses. An internal issuer, and the issuer's own host, are the owner's choice.
func TestKeysOfAPublicIssuer(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 443} }
	for _, tt := range []struct {
		name   string
		issuer net.Addr
		keys   string
		public bool
	}{
		{"another host", tcp("8.8.8.8"), "https://keys.example/keys", true},
		{"another host, IPv6", tcp("2600::1"), "https://keys.example/keys", true},
		{"another port", tcp("8.8.8.8"), "https://id.example:8443/keys", true},
		{"its own host", tcp("8.8.8.8"), "https://id.example/keys", false},
		{"an issuer inside", tcp("10.0.0.1"), "https://keys.example/keys", false},
		{"an issuer in an overlay network", tcp("100.100.1.1"), "https://keys.example/keys", false},
		{"an issuer on this machine", tcp("::1"), "https://keys.example/keys", false},
		{"a proxy's socket", &net.UnixAddr{Name: "proxy"}, "https://keys.example/keys", false},
		{"unknown", nil, "https://keys.example/keys", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			idp, asked := newIssuer("https://id.example", public(kid1, ecKey())), false
			answers := func(isPublic bool) http.RoundTripper {
				return transport(func(r *http.Request) *http.Response {
					w := httptest.NewRecorder()
					if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
						fmt.Fprintf(w, `{"issuer":"https://id.example","jwks_uri":%q}`, tt.keys)
					} else {
						asked = true
						if isPublic != tt.public {
							t.Errorf("the keys are asked for by the other transport")
						}
						idp.ServeHTTP(w, r)
					}
					return w.Result()
				})
			}
			issuers := auth.Issuers{Transport: connected{tt.issuer, answers(false)}, PublicTransport: answers(true)}
			v := must(issuers.OIDC(auth.OIDCConfig{Issuer: "https://id.example", Audiences: []string{audience}}))
			if _, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil)))); err != nil || !asked {
				t.Errorf("asked %t, %v", asked, err)
			}
		})
	}
}

// fault 60: the log has the host, not the path or the query.
func TestLogHasNoPath(t *testing.T) {
	const keys = "https://keys.example:8443/secret-path?code=secret-query"
	for name, tt := range map[string]struct {
		answer http.RoundTripper
		want   string
	}{
		"no connection": {unreachable{}, "keys.example:8443: dial tcp: unreachable"},
		"a status": {transport(func(*http.Request) *http.Response {
			w := httptest.NewRecorder()
			w.WriteHeader(http.StatusForbidden)
			return w.Result()
		}), "keys.example:8443 answered 403"},
		"a redirect": {transport(func(*http.Request) *http.Response {
			w := httptest.NewRecorder()
			w.Header().Set("Location", "https://elsewhere.example/secret-path%zz")
			w.WriteHeader(http.StatusFound)
			return w.Result()
		}), "keys.example:8443 answered 302"},
		"no keys": {transport(func(*http.Request) *http.Response { return httptest.NewRecorder().Result() }), "keys.example:8443: the document is not a key set"},
		"a broken answer": {transport(func(*http.Request) *http.Response {
			return &http.Response{StatusCode: http.StatusOK, Body: broken{}}
		}), "keys.example:8443: closed before the complete answer arrived"},
	} {
		var log bytes.Buffer
		issuers := auth.Issuers{Log: slog.New(slog.NewTextHandler(&log, nil)), Transport: tt.answer}
		v := must(issuers.OIDC(auth.OIDCConfig{Issuer: "https://id.example", Audiences: []string{audience}, JWKSURL: keys}))
		_, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), newIssuer("https://id.example").claims(nil))))
		_, unavailable := errors.AsType[*auth.UnavailableError](err)
		if all := fmt.Sprint(&log, err); strings.Contains(all, "secret-") || !strings.Contains(log.String(), tt.want) || !unavailable {
			t.Errorf("%s: %s", name, all)
		}
	}
}

// A document may have 1 MiB. Every body is closed, so that its connection can be reused.
func TestDocuments(t *testing.T) {
	keys := keySet(jwk(ecKey(), nil))
	for _, tt := range []struct {
		name   string
		status int
		body   string
		ok     bool
	}{
		{"keys", http.StatusOK, keys, true},
		{"1 MiB", http.StatusOK, keys + strings.Repeat(" ", 1<<20-len(keys)), true},
		{"a byte more", http.StatusOK, keys + strings.Repeat(" ", 1<<20+1-len(keys)), false},
		{"a status", http.StatusNotFound, keys, false},
		{"another good status", http.StatusAccepted, keys, false},
	} {
		body := &closing{Reader: strings.NewReader(tt.body)}
		var log bytes.Buffer
		issuers := auth.Issuers{Log: slog.New(slog.NewTextHandler(&log, nil)), Transport: transport(func(*http.Request) *http.Response {
			return &http.Response{StatusCode: tt.status, Body: body}
		})}
		v := must(issuers.OIDC(auth.OIDCConfig{Issuer: "https://id.example", Audiences: []string{audience}, JWKSURL: "https://id.example/keys"}))
		_, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), newIssuer("https://id.example").claims(nil))))
		if (err == nil) != tt.ok || !body.closed || (log.Len() == 0) != tt.ok {
			t.Errorf("%s: %v, closed %t, logged %s", tt.name, err, body.closed, &log)
		}
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

// broken is a body that ends with an error.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (broken) Close() error             { return nil }

// Entra's common issuer is rejected, because each token names its own directory.
func TestEntrasCommonIssuer(t *testing.T) {
	var log bytes.Buffer
	issuers := auth.Issuers{Log: slog.New(slog.NewTextHandler(&log, nil)), Transport: transport(func(*http.Request) *http.Response {
		w := httptest.NewRecorder()
		fmt.Fprint(w, `{"issuer":"https://login.microsoftonline.com/{tenantid}/v2.0","jwks_uri":"https://login.microsoftonline.com/common/discovery/v2.0/keys"}`)
		return w.Result()
	})}
	const common = "https://login.microsoftonline.com/common/v2.0"
	v := must(issuers.OIDC(auth.OIDCConfig{Issuer: common, Audiences: []string{audience}}))
	_, _ = v.Verify(bearer(token(jose.ES256, kid1, ecKey(), newIssuer(common).claims(nil))))
	if !strings.Contains(log.String(), "set your own directory's issuer, such as https://login.microsoftonline.com/DIRECTORY-ID/v2.0") {
		t.Error(log.String())
	}
}

// fault 79: if a token's key is not cached and cannot be fetched, that is not the caller's fault.
func TestUnknownKeyWhileIssuerIsDown(t *testing.T) {
	for _, fault := range []string{"out", "hangs"} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				idp := newIssuer("https://id.example", public(kid1, ecKey()))
				v := idp.verifier(t)
				ask := func(kid string, key any, claims map[string]any) (*auth.UnavailableError, error) {
					_, err := v.Verify(within(t, bearer(token(jose.ES256, kid, key, idp.claims(claims))), 8*time.Second))
					refused, _ := errors.AsType[*auth.UnavailableError](err)
					return refused, err
				}
				if _, err := ask(kid1, ecKey(), nil); err != nil {
					t.Fatal(err)
				}
				idp.set(fault)
				for i := range 10 {
					refused, err := ask("kid-2", otherECs(), nil)
					if refused == nil || !strings.Contains(err.Error(), `"kid-2"`) {
						t.Fatalf("an unknown key id: %v", err)
					}
					if s := int64((refused.RetryAfter + time.Second - 1) / time.Second); s < 1 || s > 30 || i > 1 && s != int64(30-3*i-map[string]int{"hangs": 7}[fault]) || i == 0 && s != map[string]int64{"out": 30, "hangs": 1}[fault] {
						t.Errorf("request %d: Retry-After is %d", i, s)
					}
					if i == 0 && fault == "out" {
						if refused, err := ask("kid-2", otherECs(), nil); refused == nil || refused.RetryAfter != 30*time.Second {
							t.Errorf("right after a fetch that failed: %v", err)
						}
					}
					if i == 0 && fault == "hangs" {
						time.Sleep(4 * time.Second) // until the fetch is over
						continue
					}
					time.Sleep(3 * time.Second)
					if i == 6 {
						break
					}
				}
				for name, tt := range map[string]struct {
					kid    string
					key    any
					claims map[string]any
					want   bool // an UnavailableError
				}{
					"a bad signature of a known key":     {kid1, otherECs(), nil, false},
					"another issuer's token":             {"kid-3", otherECs(), map[string]any{"iss": "https://other"}, false},
					"no key id":                          {"", otherECs(), nil, true},
					"a key id that is long and has \"\n": {strings.Repeat("x", 100) + "\"\n", otherECs(), nil, true},
				} {
					refused, err := ask(tt.kid, tt.key, tt.claims)
					if err == nil || (refused != nil) != tt.want || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), strings.Repeat("x", 65)) {
						t.Errorf("%s: %v", name, err)
					}
				}
				if _, err := ask(kid1, ecKey(), map[string]any{"jti": "2"}); err != nil {
					t.Errorf("fault 21: a known key id: %v", err)
				}
				idp.set("", public(kid1, ecKey()), public("kid-2", otherECs()))
				time.Sleep(30 * time.Second)
				if _, err := ask("kid-2", otherECs(), nil); err != nil {
					t.Errorf("the issuer is back: %v", err)
				}
				if refused, err := ask("kid-3", otherECs(), nil); refused != nil || err == nil {
					t.Errorf("an unknown key id, the issuer within reach: %v", err)
				}
			})
		})
	}
}

// Tokens that name another issuer cause no fetch while there are keys.
func TestOtherIssuersTokensCauseNoFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		v := idp.verifier(t)
		_, _ = v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
		for i := range 10 {
			_, err := v.Verify(bearer(token(jose.ES256, "other", otherECs(), idp.claims(map[string]any{"iss": fmt.Sprintf("https://%d.example", i)}))))
			if err == nil || !strings.Contains(err.Error(), "iss") {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := idp.fetches(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}
