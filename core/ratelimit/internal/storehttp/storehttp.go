// Package storehttp makes the HTTP client of the stores that are asked over HTTP.
package storehttp

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout bounds the opening of a connection, TLS included. It goes on when the request that wanted it has
	// given up, and the next one finds it open.
	dialTimeout = time.Second
	// idleTimeout is how long an unused connection is kept. net/http counts it by the wall clock, which goes on
	// while an instance is frozen.
	idleTimeout = 50 * time.Second
	// maxIdle is how many connections are kept: as many as an instance serves requests at once (Cloud Run: 80).
	maxIdle = 128
)

// New returns a client that keeps its connections and follows no redirect, so that credentials stay with the store.
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
