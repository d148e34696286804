package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxBody bounds how much of a body is read, in bytes; a session config has a few thousand.
const maxBody = 256 << 10

// browser sends requests with the headers of a page's fetch.
type browser struct {
	client *http.Client
	target *url.URL
	header http.Header
	proxy  *url.URL // nil without one
}

func newBrowser(target *url.URL, o Options) (*browser, error) {
	find := o.Proxy
	if find == nil {
		find = http.ProxyFromEnvironment
	}
	proxy, err := find(&http.Request{URL: target})
	if err != nil { // err repeats the address, which may contain a password
		return nil, errors.New(proxyVariable(target) + ": want the address of a proxy, such as http://proxy.example:3128")
	}
	return &browser{
		target: target,
		header: o.Header,
		proxy:  proxy,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyURL(proxy),
				OnProxyConnectResponse: refusedByProxy,
				TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
				ForceAttemptHTTP2:      true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// answer is a response, or err and how far the request got.
type answer struct {
	err      error
	status   int
	header   http.Header
	body     []byte
	cut      bool // the body is longer than maxBody
	received time.Time
	limit    time.Duration // the timeout
	timing   Timing
	remote   string // the address of the connection, "" if there was none
	tls      *tls.ConnectionState
}

// get sends a bare fetch(url) with the caller's headers; origin "" is the endpoint's own.
func (b *browser) get(ctx context.Context, origin string) answer {
	h := b.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Sec-Fetch-Site", "same-origin")
	if origin != "" {
		h.Set("Origin", origin)
		h.Set("Sec-Fetch-Site", "cross-site")
	}
	return b.send(ctx, http.MethodGet, h)
}

// preflight sends the preflight of a request with the given header names, without a credential, as browsers do.
func (b *browser) preflight(ctx context.Context, origin string, asked []string) answer {
	return b.send(ctx, http.MethodOptions, http.Header{
		"Origin":                         {origin},
		"Access-Control-Request-Method":  {http.MethodGet},
		"Access-Control-Request-Headers": {strings.Join(asked, ",")},
		"Sec-Fetch-Site":                 {"cross-site"},
	})
}

func (b *browser) send(ctx context.Context, method string, h http.Header) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	h.Set("Accept", "*/*")
	h.Set("Sec-Fetch-Mode", "cors")
	h.Set("Sec-Fetch-Dest", "empty")
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", "orga-session-probe")
	}
	start := time.Now()
	deadline, _ := ctx.Deadline()
	a.limit = deadline.Sub(start)
	var trace phases
	defer func() {
		a.timing, a.remote = trace.seen()
		a.timing.Total = millis(time.Since(start))
		a.timing.Server = serverTiming(a.header)
	}()
	req := (&http.Request{Method: method, URL: b.target, Header: h}).
		WithContext(httptrace.WithClientTrace(ctx, trace.clientTrace()))
	res, err := b.client.Do(req)
	if err != nil {
		a.err = withoutURL(err)
		return a
	}
	defer func() { _ = res.Body.Close() }() // the body has been read
	a.received = time.Now()
	a.status, a.header, a.tls = res.StatusCode, res.Header, res.TLS
	a.body, a.err = io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if len(a.body) > maxBody {
		a.body, a.cut = a.body[:maxBody], true
	}
	return a
}

// withoutURL returns err without the address that net/http adds, which may contain a secret.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// Windows has its own numbers for network errors, which no other system uses.
const (
	wsaNetDown     = syscall.Errno(10050)
	wsaNetUnreach  = syscall.Errno(10051)
	wsaConnReset   = syscall.Errno(10054)
	wsaConnRefused = syscall.Errno(10061)
)

func noNetwork(err error) bool {
	return isAny(err, syscall.ENETUNREACH, syscall.ENETDOWN, wsaNetUnreach, wsaNetDown)
}

// portClosed reports whether the port is closed. Windows reports a closed UDP port as a reset.
func portClosed(err error) bool {
	return isAny(err, syscall.ECONNREFUSED, wsaConnRefused, wsaConnReset)
}

func isAny(err error, kinds ...syscall.Errno) bool {
	return slices.ContainsFunc(kinds, func(kind syscall.Errno) bool { return errors.Is(err, kind) })
}
