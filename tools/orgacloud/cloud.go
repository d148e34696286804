package orgacloud

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// Config is what a cloud is started with.
type Config struct {
	// APIKey is the permanent key that mints. It is required.
	APIKey string
	// Addr is where the API listens; "" is any free port of 127.0.0.1.
	Addr string
	// TURNOverTLS adds a TURN server over TLS, with a certificate of its own making (see RootCAs), which
	// no browser trusts.
	TURNOverTLS bool
	// Knobs are how the cloud misbehaves from the start.
	Knobs Knobs
}

// Cloud is a running Orga Cloud. Its methods are safe for concurrent use.
type Cloud struct {
	api     *orgatest.API
	started time.Time
	panel   panel
	tally   tally
	relay   *relay
	board   *switchboard
	roots   *x509.CertPool

	url    string
	http   *http.Server
	served chan struct{}
}

// Start starts a cloud; Close ends it.
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
		var err error
		if certificate, c.roots, err = selfSigned(); err != nil {
			return nil, fmt.Errorf("orgacloud: %w", err)
		}
	}
	addr := config.Addr
	if addr == "" {
		addr = loopback
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("orgacloud: %w", err)
	}
	c.url = "http://" + listener.Addr().String()
	if c.relay, err = startRelay(certificate); err != nil {
		return nil, fmt.Errorf("orgacloud: TURN: %w", errors.Join(err, listener.Close()))
	}
	if c.board, err = openSwitchboard(); err != nil {
		return nil, fmt.Errorf("orgacloud: WebRTC: %w", errors.Join(err, c.relay.Close(), listener.Close()))
	}
	c.http = &http.Server{Handler: c.routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() {
		defer close(c.served)
		_ = c.http.Serve(listener) // it ends with Close, and with nothing else
	}()
	return c, nil
}

// URL is the base URL for a client, without a slash at the end.
func (c *Cloud) URL() string { return c.url }

// Knobs are the knobs as they stand: a fault that met its number of requests is gone from them.
func (c *Cloud) Knobs() Knobs { return c.panel.get() }

// Set replaces the knobs, or says what is wrong with the new ones.
func (c *Cloud) Set(k Knobs) error {
	if err := c.panel.set(k); err != nil {
		return err
	}
	choices := AllChoices() // which begin after the documented form
	c.api.Change(func(a *orgatest.API) {
		a.MintDrift = orgatest.MintDrifts[1+slices.Index(choices.TokenShape, k.TokenShape)]
		a.ICEDrift = iceShapes[1+slices.Index(choices.ICEShape, k.ICEShape)]
		a.TTL, a.ClockSkew = seconds(k.TokenTTLSeconds), seconds(k.ClockSkewSeconds)
	})
	return nil
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// RootCAs trusts TURN over TLS; nil without Config.TURNOverTLS.
func (c *Cloud) RootCAs() *x509.CertPool { return c.roots }

// Close hangs up, ends every request and frees every port. Nothing runs any more when it returns, but for
// what the TURN server still puts away.
func (c *Cloud) Close() error {
	err := c.http.Close() // with the connections, the requests that hang
	<-c.served
	return errors.Join(err, c.board.Close(), c.relay.Close())
}
