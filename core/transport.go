package core

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// idleTimeout is how long an unused connection to Orga is kept: less than the 60 s after which
	// load balancers drop one without a word.
	idleTimeout = 25 * time.Second
	dialTimeout = 2 * time.Second
	// maxIdle is how many connections are kept for one host: as many as an instance serves requests
	// at once (Cloud Run's default is 80), or each request above it would pay a TLS handshake.
	maxIdle = 128
)

// transport is the way to Orga. It speaks HTTP/1.1: there, a connection on which a call was given up
// is closed, while over HTTP/2 the next call would go into the same black hole.
//
// Two things it adds to http.Transport. After a freeze, or when a call ran out of time, idle
// connections are not trusted any more: whatever swallowed one has likely swallowed all. And one
// connection can be opened ahead, by warm, with nothing sent on it.
type transport struct {
	http   *http.Transport
	dialer net.Dialer
	tls    *tls.Config
	last   atomic.Int64 // when it was last used, nanoseconds of the wall clock

	mu      sync.Mutex
	ahead   net.Conn // opened by warm, not yet used
	aheadTo string
	aheadAt time.Time
}

// newTransport makes a transport; guard, where given, sees each resolved address before it is dialled.
func newTransport(guard func(network, address string, c syscall.RawConn) error) *transport {
	t := &transport{
		dialer: net.Dialer{Timeout: dialTimeout, Control: guard},
		tls:    &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
	}
	t.http = &http.Transport{
		DialContext:         func(ctx context.Context, _, addr string) (net.Conn, error) { return t.dial(ctx, "http", addr) },
		DialTLSContext:      func(ctx context.Context, _, addr string) (net.Conn, error) { return t.dial(ctx, "https", addr) },
		MaxIdleConns:        0, // bounded for each host
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTimeout,
	}
	return t
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	now := time.Now().UnixNano()
	if last := t.last.Swap(now); now < last || now-last > int64(idleTimeout) {
		t.http.CloseIdleConnections()
	}
	resp, err := t.http.RoundTrip(r)
	if err != nil && errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		t.http.CloseIdleConnections()
	}
	return resp, err
}

// warm opens a connection to base, TLS done, for the first call to find. It is silent: what fails
// here, the first call will say.
func (t *transport) warm(ctx context.Context, base string) {
	u, err := url.Parse(base)
	if err != nil {
		return
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := t.open(ctx, u.Scheme, addr)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ahead, t.aheadTo, t.aheadAt = conn, u.Scheme+addr, time.Now().Round(0) // the wall clock: it runs on in a freeze
}

// dial hands out the connection that was opened ahead, if it is young enough, or opens one.
func (t *transport) dial(ctx context.Context, scheme, addr string) (net.Conn, error) {
	t.mu.Lock()
	conn, to, age := t.ahead, t.aheadTo, time.Since(t.aheadAt)
	t.ahead = nil
	t.mu.Unlock()
	if conn != nil {
		if to == scheme+addr && age >= 0 && age < idleTimeout {
			return conn, nil
		}
		_ = conn.Close() // it was never used
	}
	return t.open(ctx, scheme, addr)
}

func (t *transport) open(ctx context.Context, scheme, addr string) (net.Conn, error) {
	conn, err := t.dialer.DialContext(ctx, "tcp", addr)
	if err != nil || scheme == "http" {
		return conn, err
	}
	config := t.tls.Clone()
	config.ServerName, _, _ = net.SplitHostPort(addr)
	secure := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the one to report
		return nil, err
	}
	return secure, nil
}

var errNotPublic = errors.New("a tenant's base URL must lead to a public address")

// publicOnly is a guard that lets a tenant's base URL reach the internet alone: its name may resolve
// to anything, the platform's metadata service included. It sees the address that is really dialled,
// so no name can change its answer between the check and the call.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(ap.Addr()) {
		return errNotPublic
	}
	return nil
}

// reserved are the special-purpose blocks (IANA's registries, RFC 6890) that netip has no name for.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("64:ff9b::/96"),    // IPv4 translated: any of the above in other clothes
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),     // 6to4, likewise
	netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("fec0::/10"),     // site-local, deprecated
}

func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() {
		return false
	}
	for _, block := range reserved {
		if block.Contains(addr) {
			return false
		}
	}
	return true
}
