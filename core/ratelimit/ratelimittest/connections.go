package ratelimittest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// TestConnections tests which connections a driver that speaks HTTP keeps. store is the handler of a store.
func TestConnections(t *testing.T, store http.Handler, open func(t *testing.T, address string) ratelimit.Limiter) {
	var opened, closed, requests atomic.Int32
	var hangs, drops, floods atomic.Bool
	var both sync.WaitGroup
	both.Add(2)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // read first: otherwise the context does not end when the client disconnects
		r.Body = io.NopCloser(bytes.NewReader(body))
		if requests.Add(1) <= 2 { // so that each has a connection
			both.Done()
			both.Wait()
		}
		if hangs.Load() {
			<-r.Context().Done()
			return
		}
		if drops.CompareAndSwap(true, false) {
			panic(http.ErrAbortHandler) // the server closes the connection without an answer
		}
		if floods.CompareAndSwap(true, false) {
			_, _ = w.Write(bytes.Repeat([]byte(" "), 16<<20)) // the client disconnects
			return
		}
		store.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
		if state == http.StateClosed {
			closed.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	l := open(t, server.URL)
	ask := func(ctx context.Context) error {
		_, err := l.Allow(ctx, []ratelimit.Bucket{{Key: "acme:ada", Quota: quota(9, time.Hour)}})
		return err
	}
	want := func(what string, wantOpened, wantClosed int32) {
		t.Helper()
		eventually(t, what, func() bool { return closed.Load() == wantClosed })
		if n := opened.Load(); n != wantOpened {
			t.Errorf("%s: %d connections were opened, want %d", what, n, wantOpened)
		}
	}

	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := ask(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := ask(t.Context()); err != nil {
		t.Error(err)
	}
	want("connections are kept", 2, 0)

	hangs.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := ask(ctx); err == nil {
		t.Error("an answer from a store that hangs")
	}
	hangs.Store(false)
	want("after a decision that took too long, the others are closed, too", 2, 2)

	if err := ask(t.Context()); err != nil {
		t.Error(err)
	}
	drops.Store(true) // as a store does that closes a kept connection just then
	if err := ask(t.Context()); err != nil {
		t.Errorf("a kept connection is closed: %v", err)
	}
	want("a request on it is sent again", 4, 3)

	floods.Store(true)
	if err := ask(t.Context()); err == nil {
		t.Error("an answer of 16 MiB is accepted")
	}
	want("an answer that is too long ends its connection", 4, 4)

	if err := ask(t.Context()); err != nil {
		t.Error(err)
	}
	_ = l.(io.Closer).Close()
	want("closing the driver closes its connections", 5, 5)
}
