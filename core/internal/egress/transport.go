// Package egress has the transport to Orga, which survives a frozen instance, and the guard that restricts URLs named by
// tenants and issuers to public addresses.
package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/core/internal/netaddr"
	"github.com/orga-session/orga-session/core/internal/wallclock"
)

const (
	// idleTimeout is how long an unused connection to Orga is kept: less than the 60 s after which load balancers
	// silently drop one. net/http measures it by the wall clock, which continues while an instance is frozen.
	idleTimeout = 25 * time.Second
	// connectTimeout bounds connecting, TLS included. It leaves time within an attempt's 3 s to report the failure.
	connectTimeout = 2 * time.Second
	// maxIdle is the number of connections kept for each host: the number of requests that an instance serves
	// concurrently (80 by default on Cloud Run). With fewer, bursts would pay for TLS handshakes.
	maxIdle = 128
	// maxHeader bounds the header of an answer, of which short lines take 20 times their size in memory while its body
	// arrives. Proxies such as nginx pass on no more either, by default.
	maxHeader = 8 << 10
	// maxHosts bounds the hosts that have their own connection pool. Settings name fewer, but an issuer may name another
	// host for its keys at each discovery.
	maxHosts = 1 << 10
)

// Transport is an http.Transport for function instances.
//
// It uses HTTP/1.1, where an abandoned call closes its own connection and affects no other. Over HTTP/2, all calls of an
// instance share one connection, and if that goes silent, all of them wait. Idle connections save the same handshakes
// as HTTP/2. docs/architecture.md has measurements.
//
// It adds two features. If a call times out and no other call to its host was answered meanwhile, it drops the host's
// idle connections, because a network fault affects all of them. And [Transport.Warm] opens a connection ahead of the
// first call.
//
// It ignores HTTPS_PROXY, because a proxy would resolve the names whose addresses a guard must check.
type Transport struct {
	hosts  sync.Map     // name → *host
	known  atomic.Int64 // hosts
	dialer net.Dialer
	tls    *tls.Config
	ahead  atomic.Pointer[connection]
}

// host has the connections to one host. A fault of one host does not affect others.
type host struct {
	http    *http.Transport
	answers atomic.Uint64 // calls that were answered
}

// target is the endpoint of a connection.
type target struct {
	scheme string // http or https
	addr   string // host:port
}

// connection is a connection that was opened ahead.
type connection struct {
	net.Conn
	to       target
	at       time.Time
	answered atomic.Bool // something was received on it
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.answered.Store(true)
	}
	return n, err
}

// Guard checks each resolved address before it is dialed; its error ends the dial.
type Guard func(network, address string, c syscall.RawConn) error

// New returns a Transport with a guard; nil for none.
func New(guard Guard) *Transport {
	return &Transport{
		dialer: net.Dialer{Control: guard},
		tls:    &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
	}
}

// RoundTrip sends a request on an idle connection or on a new one.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	h := t.host(r.URL.Host)
	before := h.answers.Load()
	resp, err := t.send(h, r)
	switch {
	case err == nil:
		h.answers.Add(1)
	case errors.Is(r.Context().Err(), context.DeadlineExceeded) && h.answers.Load() == before:
		h.http.CloseIdleConnections()
	}
	return resp, err
}

// send sends r, and retries if the connection that was opened ahead turns out to be dead. net/http retries on used
// connections, but considers this one new, and never retries on new ones.
func (t *Transport) send(h *host, r *http.Request) (*http.Response, error) {
	if t.ahead.Load() == nil || r.Body != nil && r.Body != http.NoBody { // a body cannot be resent
		return h.http.RoundTrip(r)
	}
	var used *connection
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		used = nil // net/http may itself have resent r
		if c, ok := got.Conn.(*connection); ok && !got.Reused {
			used = c
		}
	}})
	resp, err := h.http.RoundTrip(r.WithContext(ctx))
	if err != nil && used != nil && !used.answered.Load() && r.Context().Err() == nil {
		return h.http.RoundTrip(r)
	}
	return resp, err
}

func (t *Transport) host(name string) *host {
	if h, ok := t.hosts.Load(name); ok {
		return h.(*host)
	}
	h, known := t.hosts.LoadOrStore(name, &host{http: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return t.dial(ctx, target{scheme: "http", addr: addr})
		},
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return t.dial(ctx, target{scheme: "https", addr: addr})
		},
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}})
	if !known && t.known.Add(1) > maxHosts {
		t.forgetHosts()
	}
	return h.(*host)
}

// forgetHosts drops all hosts. Calls in flight continue; later calls open new connections.
func (t *Transport) forgetHosts() {
	t.hosts.Range(func(name, h any) bool {
		if t.hosts.CompareAndDelete(name, h) {
			t.known.Add(-1)
			h.(*host).http.CloseIdleConnections()
		}
		return true
	})
}

// Warm opens a connection to base, TLS included, for the first call. It ignores errors, because the first call reports
// them.
func (t *Transport) Warm(ctx context.Context, base string) {
	u, err := url.Parse(base)
	if err != nil {
		return
	}
	to := target{u.Scheme, u.Host}
	if u.Port() == "" {
		to.addr = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	conn, err := t.open(ctx, to)
	if err != nil {
		return
	}
	t.ahead.Store(&connection{Conn: conn, to: to, at: wallclock.Now()})
}

// Close closes all idle connections.
func (t *Transport) Close() error {
	t.hosts.Range(func(_, h any) bool {
		h.(*host).http.CloseIdleConnections()
		return true
	})
	if c := t.ahead.Swap(nil); c != nil {
		return c.Close()
	}
	return nil
}

// dial returns the connection that was opened ahead, unless it is for another target or too old, or opens a new one.
func (t *Transport) dial(ctx context.Context, to target) (net.Conn, error) {
	if c := t.ahead.Swap(nil); c != nil {
		if c.to == to && wallclock.Within(c.at, idleTimeout) {
			return c, nil
		}
		_ = c.Close() // unused
	}
	return t.open(ctx, to)
}

func (t *Transport) open(ctx context.Context, to target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := t.dialer.DialContext(ctx, "tcp", to.addr)
	if err != nil || to.scheme == "http" {
		return conn, err
	}
	config := t.tls.Clone()
	config.ServerName, _, _ = net.SplitHostPort(to.addr)
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // report the handshake's error
		return nil, err
	}
	return secure, nil
}

var errNotPublic = errors.New("a URL that a tenant or an issuer names must lead to a public address")

// PublicOnly is a guard for New that allows only public addresses: a name from a tenant or an issuer may resolve to anything,
// including the platform's metadata service. It sees the address that is actually dialed, so the name cannot resolve
// differently between check and connection.
func PublicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !netaddr.IsPublic(ap.Addr()) {
		return errNotPublic
	}
	return nil
}
