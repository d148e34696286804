package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// testbed is a transport to an Orga API, through a proxy that can break connections.
type testbed struct {
	*Transport
	api    *orgatest.Server
	proxy  *orgatest.Proxy
	base   string
	client *orga.Client
	within time.Duration // of one call; 0: the client's own
}

func newTestbed(t *testing.T, secure bool) *testbed {
	t.Helper()
	api := orgatest.Start(t, new(orgatest.API), secure)
	proxy, err := orgatest.NewProxy(api.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := &testbed{Transport: New(nil), api: api, proxy: proxy}
	if secure {
		w.tls.RootCAs = api.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	scheme, _, _ := strings.Cut(api.URL, ":")
	w.base = scheme + "://" + proxy.Addr()
	w.client = newClient(w.base, w.Transport)
	t.Cleanup(func() {
		w.Transport.Close()
		proxy.Close()
	})
	return w
}

func newClient(base string, tr *Transport) *orga.Client {
	return orga.NewClient(orgatest.Key, orga.WithBaseURL(base), orga.WithTransport(tr))
}

func (w *testbed) mint(t *testing.T) error {
	t.Helper()
	ctx := t.Context()
	if w.within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.within)
		defer cancel()
	}
	_, err := w.client.SessionConfig(ctx)
	return err
}

// fill creates n idle connections with n concurrent mints.
func (w *testbed) fill(t *testing.T, n int) {
	t.Helper()
	var waiting, wg sync.WaitGroup
	waiting.Add(n)
	together := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		waiting.Done()
		waiting.Wait()
		_, _ = rw.Write([]byte(`{"ephemeral_token":"t"}`))
	})
	for range n {
		w.api.Fail(orga.CallMint, together)
		wg.Go(func() {
			if _, err := w.client.MintToken(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := w.proxy.Opened(); got != n {
		t.Fatalf("%d connections, want %d", got, n)
	}
}

func schemes(t *testing.T, do func(t *testing.T, secure bool)) {
	t.Run("plain", func(t *testing.T) { do(t, false) })
	t.Run("TLS", func(t *testing.T) { do(t, true) })
}

// In a steady state, there are no more connections than clients.
func TestConnectionsAreKept(t *testing.T) {
	schemes(t, func(t *testing.T, secure bool) {
		w := newTestbed(t, secure)
		w.fill(t, 16)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 10 {
					if err := w.mint(t); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		// net/http drops a connection if the answer arrives before the request's write has returned, which happens on a busy
		// machine. With net/http's own limit of two idle connections, half of the mints open one.
		if got := w.proxy.Opened(); got > 40 {
			t.Errorf("%d connections for 160 mints of 16 clients", got)
		}
	})
}

// fault 37: kept-alive connections were closed or reset while idle. The first POST on one is resent immediately.
func TestDeadConnections(t *testing.T) {
	for name, breakConns := range map[string]func(*orgatest.Proxy){"closed": (*orgatest.Proxy).Cut, "reset": (*orgatest.Proxy).Reset} {
		t.Run(name, func(t *testing.T) {
			schemes(t, func(t *testing.T, secure bool) {
				w := newTestbed(t, secure)
				w.fill(t, 4)
				for range 50 {
					breakConns(w.proxy)
					if err := w.mint(t); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// fault 38: connections went silent. Only the first call times out, however many connections were idle.
func TestSilentConnections(t *testing.T) {
	schemes(t, func(t *testing.T, secure bool) {
		w := newTestbed(t, secure)
		w.fill(t, 8)
		w.proxy.Swallow()
		w.within = 200 * time.Millisecond
		if err := w.mint(t); !errors.Is(err, orga.ErrTimeout) {
			t.Fatal(err)
		}
		w.within = 0
		start := time.Now()
		for range 8 {
			if err := w.mint(t); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took > 2*time.Second || w.proxy.Opened() != 9 {
			t.Errorf("8 calls took %v and %d connections", took, w.proxy.Opened())
		}
	})
}

// fault 38: answers from another host do not keep silent connections open.
func TestSilentConnectionsOfOneHost(t *testing.T) {
	w, other := newTestbed(t, false), newTestbed(t, false)
	other.client = newClient(other.base, w.Transport) // tenants share a transport
	w.fill(t, 8)
	w.proxy.Swallow()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	slow := make(chan error)
	go func() {
		_, err := w.client.MintToken(ctx)
		slow <- err
	}()
	for ctx.Err() == nil {
		if err := other.mint(t); err != nil {
			t.Error(err)
		}
	}
	if err := <-slow; !errors.Is(err, orga.ErrTimeout) {
		t.Error(err)
	}
	start := time.Now()
	if err := w.mint(t); err != nil || time.Since(start) > 2*time.Second {
		t.Errorf("the next call: %v after %v", err, time.Since(start))
	}
	if n := other.proxy.Opened(); n != 1 {
		t.Errorf("the other host's calls took %d connections: its idle ones were dropped", n)
	}
}

// If a call times out while others are answered, their connections are kept.
func TestSlowCallKeepsOtherConnections(t *testing.T) {
	w := newTestbed(t, false)
	w.fill(t, 8)
	hanging := make(chan struct{})
	w.api.Fail(orga.CallMint, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		close(hanging)
		orgatest.Hang().ServeHTTP(rw, r)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	slow := make(chan error)
	go func() {
		_, err := w.client.MintToken(ctx)
		slow <- err
	}()
	<-hanging
	if err := w.mint(t); err != nil {
		t.Error(err)
	}
	if err := <-slow; !errors.Is(err, orga.ErrTimeout) {
		t.Error(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := w.mint(t); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := w.proxy.Opened(); got > 9 {
		t.Errorf("%d connections: the idle ones were dropped", got)
	}
}

// An issuer that names another host for its keys each time does not fill the memory, and no calls fail because of it.
func TestHostsAreBounded(t *testing.T) {
	w := newTestbed(t, false)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range maxHosts {
				w.host(fmt.Sprintf("%d-%d.example", worker, i))
				if i%100 == 0 {
					if err := w.mint(t); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	kept := 0
	w.hosts.Range(func(any, any) bool { kept++; return true })
	if kept > maxHosts || int64(kept) != w.known.Load() {
		t.Errorf("%d hosts are kept, and %d counted", kept, w.known.Load())
	}
}

// fault 43: the header of an answer is bounded, too.
func TestHeaderBound(t *testing.T) {
	for size, ok := range map[int]bool{6 << 10: true, 16 << 10: false, 1 << 20: false} {
		w := newTestbed(t, false)
		w.api.Fail(orga.CallMint, orgatest.Status(200, `{"ephemeral_token":"t"}`, "X-Flood", strings.Repeat("x", size)))
		if err := w.mint(t); errors.Is(err, orga.ErrConnection) == ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// The first call uses the connection opened by init. Whatever happened to it meanwhile, the call does not fail.
func TestWarm(t *testing.T) {
	for name, row := range map[string]struct {
		meanwhile func(w *testbed)
		opened    int // connections after one mint
	}{
		"used":           {func(*testbed) {}, 1},
		"closed":         {func(w *testbed) { w.proxy.Cut() }, 2},
		"reset":          {func(w *testbed) { w.proxy.Reset() }, 2},
		"too old":        {func(w *testbed) { w.ahead.Load().at = time.Now().Add(-idleTimeout) }, 2},
		"clock set back": {func(w *testbed) { w.ahead.Load().at = time.Now().Add(time.Hour) }, 2},
		"to another":     {func(w *testbed) { w.ahead.Load().to.addr = "other.example:443" }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			schemes(t, func(t *testing.T, secure bool) {
				w := newTestbed(t, secure)
				w.Warm(t.Context(), w.base)
				eventually(t, func() bool { return w.proxy.Opened() == 1 })
				if got := w.api.Calls(orga.CallMint) + w.api.Calls(orga.CallICE); got != 0 {
					t.Fatalf("%d calls", got)
				}
				row.meanwhile(w)
				for range 3 {
					if err := w.mint(t); err != nil {
						t.Error(err)
					}
				}
				if got := w.proxy.Opened(); got != row.opened {
					t.Errorf("%d connections, want %d", got, row.opened)
				}
			})
		})
	}
	t.Run("a call with a partial answer is not resent", func(t *testing.T) {
		w := newTestbed(t, false)
		w.Warm(t.Context(), w.base)
		w.api.Fail(orga.CallMint, orgatest.Truncate())
		if err := w.mint(t); err == nil || w.api.Calls(orga.CallMint) != 1 {
			t.Errorf("%v after %d calls", err, w.api.Calls(orga.CallMint))
		}
	})
	t.Run("a call is resent only once", func(t *testing.T) {
		w := newTestbed(t, false)
		w.Warm(t.Context(), w.base)
		w.api.FailAll(orga.CallMint, orgatest.Reset())
		if err := w.mint(t); !errors.Is(err, orga.ErrConnection) || w.api.Calls(orga.CallMint) != 2 {
			t.Errorf("%v after %d calls", err, w.api.Calls(orga.CallMint))
		}
	})
	t.Run("a failure is silent", func(t *testing.T) {
		w := newTestbed(t, true)
		plain := orgatest.New(t) // no TLS there
		for _, base := range []string{"https://127.0.0.1:1", "https://" + plain.Listener.Addr().String(), "https://[::1", "nowhere"} {
			w.Warm(t.Context(), base)
			if w.ahead.Load() != nil {
				t.Errorf("%s: a connection", base)
			}
		}
		if err := w.mint(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("bounded by its context", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never shakes hands
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		New(nil).Warm(ctx, "https://"+silent.Addr().String())
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestTLS(t *testing.T) {
	t.Run("no version before 1.2", func(t *testing.T) {
		server := httptest.NewUnstartedServer(new(orgatest.API))
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		tr := New(nil)
		tr.tls.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		_, err := newClient(server.URL, tr).MintToken(t.Context())
		if !errors.Is(err, orga.ErrConnection) || !strings.Contains(err.Error(), "protocol version") {
			t.Error(err)
		}
	})
	t.Run("certificates are checked", func(t *testing.T) {
		api := orgatest.NewTLS(t)
		_, err := newClient(api.URL, New(nil)).MintToken(t.Context())
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || api.Calls(orga.CallMint) != 0 {
			t.Error(err)
		}
	})
	t.Run("HTTP/1.1, and a session is resumed", func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		api := orgatest.Start(t, &orgatest.API{Intercept: func(_ orga.Call, r *http.Request) http.Handler {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprint(r.Proto, " ", r.TLS.DidResume))
			return nil
		}}, true)
		tr := New(nil)
		tr.tls.RootCAs = api.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		client := newClient(api.URL, tr)
		for range 2 {
			if _, err := client.MintToken(t.Context()); err != nil {
				t.Fatal(err)
			}
			_ = tr.Close()
		}
		if got := strings.Join(seen, ", "); got != "HTTP/1.1 false, HTTP/1.1 true" {
			t.Error(got)
		}
	})
}

// fault 44: a tenant's base URL reaches only the internet. The dialed address is checked, not the name.
func TestGuard(t *testing.T) {
	api := orgatest.New(t)
	_, port, _ := net.SplitHostPort(api.Listener.Addr().String())
	tr := New(PublicOnly)
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"} {
		base := "http://" + net.JoinHostPort(strings.Trim(host, "[]"), port)
		if _, err := newClient(base, tr).MintToken(t.Context()); !errors.Is(err, errNotPublic) {
			t.Errorf("%s: %v", host, err)
		}
		tr.Warm(t.Context(), base)
		if tr.ahead.Load() != nil {
			t.Errorf("%s: opened ahead", host)
		}
	}
	if api.Connections() != 0 {
		t.Errorf("%d connections", api.Connections())
	}
}

func TestPublicOnlyNeedsAnAddress(t *testing.T) {
	if PublicOnly("tcp", "no address", nil) == nil {
		t.Error("what does not parse passes")
	}
}

// fault 47: no network fault leaks a goroutine.
func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("faults", func(t *testing.T) {
		for _, secure := range []bool{false, true} {
			w := newTestbed(t, secure)
			w.Warm(t.Context(), w.base)
			for _, fault := range []http.Handler{orgatest.Hang(), orgatest.HangBody(), orgatest.Reset(), orgatest.Close(), orgatest.Truncate(),
				orgatest.Flood(), orgatest.GzipBomb(), orgatest.Babble(), orgatest.Redirect("/"), orgatest.Status(500, "")} {
				w.api.Fail(orga.CallMint, fault)
				w.api.Fail(orga.CallICE, fault)
				for _, call := range []func(context.Context){
					func(ctx context.Context) { _, _ = w.client.MintToken(ctx) },
					func(ctx context.Context) { _, _ = w.client.ICEServers(ctx, orga.NewEphemeralToken("t", time.Time{})) },
				} {
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					call(ctx)
					cancel()
				}
			}
			w.proxy.Swallow()
			w.within = 50 * time.Millisecond
			_ = w.mint(t)
		}
	})
	eventually(t, func() bool { return runtime.NumGoroutine() <= before })
}

// eventually waits for other goroutines to make a condition true; on failure, it prints their stacks.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for !done() {
		select {
		case <-deadline:
			stacks := make([]byte, 1<<20)
			t.Fatalf("it does not happen:\n%s", stacks[:runtime.Stack(stacks, true)])
		case <-time.After(time.Millisecond):
		}
	}
}

// The first call of an instance, on the connection opened ahead.
func BenchmarkFirstCall(b *testing.B) {
	api := orgatest.NewTLS(b)
	for b.Loop() {
		b.StopTimer()
		tr := New(nil)
		tr.tls.RootCAs = api.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		tr.Warm(b.Context(), api.URL)
		client := orga.NewClient(orgatest.Key, orga.WithBaseURL(api.URL), orga.WithTransport(tr))
		b.StartTimer()
		if _, err := client.MintToken(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = tr.Close()
		b.StartTimer()
	}
}
