package orgatest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
)

// Server is an API that listens on 127.0.0.1. Its URL is the base URL for clients.
type Server struct {
	*API
	*httptest.Server
	opened atomic.Int64
}

// New starts a Server for the duration of the test.
func New(tb testing.TB) *Server {
	tb.Helper()
	return Start(tb, new(API), false)
}

// NewTLS is New over TLS, with HTTP/2; the Server's Client trusts its certificate.
func NewTLS(tb testing.TB) *Server {
	tb.Helper()
	return Start(tb, new(API), true)
}

// Start starts a Server for an API with its fields set.
func Start(tb testing.TB, api *API, secure bool) *Server {
	tb.Helper()
	s := &Server{API: api, Server: httptest.NewUnstartedServer(api)}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // broken connections are expected in tests
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.opened.Add(1)
		}
	}
	if secure {
		s.StartTLS()
	} else {
		s.Server.Start()
	}
	tb.Cleanup(func() {
		s.CloseClientConnections() // hanging requests would block Close
		s.Close()
	})
	return s
}

// NewClient returns a client of the Server, with [Key].
func (s *Server) NewClient(opts ...orga.Option) *orga.Client {
	return orga.NewClient(Key, append([]orga.Option{orga.WithBaseURL(s.URL), orga.WithTransport(s.Client().Transport)}, opts...)...)
}

// Connections returns the number of connections opened so far.
func (s *Server) Connections() int { return int(s.opened.Load()) }

// Pipe returns a transport whose connections all lead to h over [net.Pipe], whatever the URL and without TLS, so that a
// test in a [testing/synctest] bubble can wait for it. It ends with the test.
//
//	client := orga.NewClient(orgatest.Key, orga.WithTransport(orgatest.Pipe(t, api)))
func Pipe(tb testing.TB, h http.Handler) http.RoundTripper {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	transport := &http.Transport{DialContext: l.dial, DialTLSContext: l.dial, MaxIdleConnsPerHost: 128}
	tb.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		wg.Wait()
	})
	return transport
}

// pipes is a net.Listener for connections within the process.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
