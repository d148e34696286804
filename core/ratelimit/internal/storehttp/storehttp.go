// Package storehttp creates the HTTP client for stores with an HTTP API.
package storehttp

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout bounds connecting, TLS included. Connecting continues even if its request gives up, and the next request
	// uses the connection.
	dialTimeout = time.Second
	// idleTimeout is how long an unused connection is kept. net/http measures it by the wall clock, which continues while an
	// instance is frozen.
	idleTimeout = 50 * time.Second
	// maxIdle is the number of connections kept: the number of requests that an instance serves concurrently (Cloud Run: 80).
	maxIdle = 128
)

// New returns a client that keeps connections and does not follow redirects, so that credentials reach only the store.
func New() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)},
			TLSHandshakeTimeout: dialTimeout,
			MaxIdleConnsPerHost: maxIdle,
			IdleConnTimeout:     idleTimeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
