package orgacloud

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// Config configures a cloud.
type Config struct {
	// APIKey is the permanent key that may mint. Required.
	APIKey string
	// Addr is the address of the API; "" uses any free port of 127.0.0.1.
	Addr string
	// TURNOverTLS adds a TURN server over TLS, with the certificate of package httptest (see RootCAs).
	TURNOverTLS bool
	// Knobs are the faults from the start.
	Knobs Knobs
}

// Cloud is a running Orga Cloud. Its methods are safe for concurrent use.
type Cloud struct {
	api     *orgatest.API
	started time.Time
	knobs   knobState
	counts  counters
	relay   *relay
	calls   *callServer
	roots   *x509.CertPool

	url    string
	http   *http.Server
	served chan struct{}
}

// Start starts a cloud. Stop it with [Cloud.Close].
func Start(config Config) (*Cloud, error) {
	if config.APIKey == "" {
		return nil, errors.New("orgacloud: Config.APIKey is empty")
	}
	c := &Cloud{api: new(orgatest.API), started: time.Now(), served: make(chan struct{})}
	c.api.AcceptKeys(config.APIKey)
	c.api.Intercept = c.intercept
	c.api.ICEServers = func(t orgatest.Token) []orgatest.ICEServer { return c.relay.servers(t, c.Knobs().Relay) }
	if err := c.Set(config.Knobs); err != nil {
		return nil, fmt.Errorf("orgacloud: %w", err)
	}
	var certificate *tls.Certificate
	if config.TURNOverTLS {
		server := httptest.NewTLSServer(nil) // for its certificate
		server.Close()
		certificate = &server.TLS.Certificates[0]
		c.roots = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	listener, err := net.Listen("tcp", cmp.Or(config.Addr, loopback))
	if err != nil {
		return nil, fmt.Errorf("orgacloud: %w", err)
	}
	c.url = "http://" + listener.Addr().String()
	if c.relay, err = startRelay(certificate); err != nil {
		return nil, fmt.Errorf("orgacloud: TURN: %w", errors.Join(err, listener.Close()))
	}
	if c.calls, err = startCallServer(); err != nil {
		return nil, fmt.Errorf("orgacloud: WebRTC: %w", errors.Join(err, c.relay.Close(), listener.Close()))
	}
	c.http = &http.Server{Handler: c.routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() {
		defer close(c.served)
		_ = c.http.Serve(listener) // returns after Close
	}()
	return c, nil
}

// URL returns the base URL for a client, without a trailing slash.
func (c *Cloud) URL() string { return c.url }

// ServeHTTP serves the cloud's paths for a server of the caller.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.http.Handler.ServeHTTP(w, r) }

// Knobs returns the current knobs. A fault that was set for a number of requests is removed after these.
func (c *Cloud) Knobs() Knobs { return c.knobs.get() }

// Set replaces the knobs, or returns why the new ones are invalid.
func (c *Cloud) Set(k Knobs) error {
	if err := c.knobs.set(k); err != nil {
		return err
	}
	choices := AllChoices() // they list the documented form first
	c.api.Change(func(a *orgatest.API) {
		a.MintDrift = orgatest.MintDrifts[1+slices.Index(choices.TokenShape, k.TokenShape)]
		a.ICEDrift = iceShapes[1+slices.Index(choices.ICEShape, k.ICEShape)]
		a.TTL, a.ClockSkew = seconds(k.TokenTTLSeconds), seconds(k.ClockSkewSeconds)
	})
	return nil
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// RootCAs returns a pool that trusts TURN over TLS; nil without Config.TURNOverTLS.
func (c *Cloud) RootCAs() *x509.CertPool { return c.roots }

// Close ends all calls and requests and frees every port. When it returns, only the TURN server may still be cleaning
// up.
func (c *Cloud) Close() error {
	err := c.http.Close() // hanging requests end with their connections
	<-c.served
	return errors.Join(err, c.calls.Close(), c.relay.Close())
}
