// Package storehttp creates the HTTP clients of drivers. They do not follow redirects, so that credentials reach only the
// store, and resume TLS sessions.
package storehttp

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout leaves time for another attempt.
	dialTimeout = time.Second
	// idleTimeout is how long an unused connection is kept. net/http measures it by the wall clock, which continues while an
	// instance is frozen.
	idleTimeout = 50 * time.Second
	// maxIdle is the number of connections kept: the number of requests that an instance serves concurrently (Cloud Run: 80).
	maxIdle = 128
	// maxHeader bounds the header of an answer.
	maxHeader = 8 << 10
)

// New returns a client that keeps connections, for a store that each request asks. Connecting takes at most a second, TLS
// included. It continues even if its request gives up, and the next request uses the connection.
func New() *http.Client {
	return client(&http.Transport{TLSHandshakeTimeout: dialTimeout, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTimeout})
}

// NewWithoutKeepAlives returns a client that connects for each request, for a store that is asked every few minutes: by
// then, a kept connection may have died unnoticed during a freeze.
func NewWithoutKeepAlives() *http.Client { return client(&http.Transport{DisableKeepAlives: true}) }

func client(t *http.Transport) *http.Client {
	t.MaxResponseHeaderBytes = maxHeader
	t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	return &http.Client{
		Transport:     transport{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport refuses answers that switch protocols: their body is the connection, and a context does not end its reads.
type transport struct{ *http.Transport }

var errSwitches = errors.New("the answer switches protocols")

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return nil, errSwitches
	}
	return resp, err
}
