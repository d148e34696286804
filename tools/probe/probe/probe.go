// Package probe calls a session endpoint as a browser would, and then uses the token and the ICE servers that it
// returns, to distinguish an endpoint that answers from one that works. Each check reports one observation and, if it
// is a fault, a remedy.
//
// A report contains at most six characters of a token, and no credentials or request headers. Of a server's text, it
// repeats only codes, request IDs and addresses.
package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Options select the endpoint and the caller.
type Options struct {
	// URL is the endpoint's address. The default path is DefaultPath.
	URL string
	// Origin is the page's origin, as a browser would send it. "" means the endpoint's own origin, to which CORS does
	// not apply.
	Origin string
	// Header is sent with each request except preflights, such as for authentication.
	Header http.Header
	// Timeout bounds the whole run; 0 means DefaultTimeout.
	Timeout time.Duration
	// RootCAs are the trusted certificate authorities; nil means the system's.
	RootCAs *x509.CertPool
	// Proxy returns the proxy to the endpoint; nil means the one of HTTPS_PROXY, HTTP_PROXY and NO_PROXY. STUN and
	// TURN servers are always contacted directly.
	Proxy func(*http.Request) (*url.URL, error)
}

const (
	// DefaultPath is the mint route of the default tenant.
	DefaultPath = "/api/orga-client-secrets"
	// DefaultTimeout leaves room for two mints and for servers that do not answer.
	DefaultTimeout = 30 * time.Second
	// clientTimeout is how long Orga's clients wait for the endpoint.
	clientTimeout = 10 * time.Second
	// foreignOrigin is an origin that nobody lists: .invalid never resolves (RFC 6761).
	foreignOrigin = "https://foreign-origin.invalid"
)

// Run makes every possible check within the timeout. It mints two tokens, to check that they differ, and a third only
// if the endpoint mints for a foreign origin. It releases its TURN allocations.
func Run(ctx context.Context, o Options) Report {
	target, origin, err := o.addresses()
	if err != nil {
		return couldNotRun(err)
	}
	browser, err := newBrowser(target, o)
	if err != nil {
		return couldNotRun(err)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	p := &prober{browser: browser, origin: origin, roots: o.RootCAs}
	defer p.browser.client.CloseIdleConnections()
	p.report.URL, p.report.Origin = display(target), origin
	if err := p.runChecks(ctx); err != nil {
		p.report.Reason = err.Error()
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		p.report.Reason = "interrupted"
	}
	p.report.finish()
	return p.report
}

func couldNotRun(why error) Report {
	r := Report{Reason: why.Error()}
	r.finish()
	return r
}

// prober is one run. Checks are sequential, except that ICE servers are checked concurrently.
type prober struct {
	browser *browser
	origin  string // "" for the endpoint's own
	roots   *x509.CertPool
	report  Report
}

// runChecks makes the checks; each depends on earlier ones. An error means that the probe could not run: the fault is
// on this machine, not at the endpoint.
func (p *prober) runChecks(ctx context.Context) error {
	first := p.browser.get(ctx, p.origin)
	if err := p.browser.notRun(first.err); err != nil {
		return err
	}
	p.report.Timing = first.timing
	if !p.checkConnection(first) {
		return nil
	}
	mint, page := p.retryFromOwnOrigin(ctx, first)
	if !p.checkStatus(mint) {
		return nil
	}
	p.checkHeaders(mint)
	p.checkPermanentKey(first, mint)
	p.checkPreflight(ctx, mint)
	p.checkResponseCORS(first, mint)
	if mint.status/100 != 2 {
		return nil
	}
	config, ok := p.checkConfig(mint)
	if !ok {
		return nil
	}
	p.checkClock(mint, config)
	p.checkExpiry(mint, config)
	p.checkSecondMint(ctx, page, mint, config)
	p.checkForeignOrigin(ctx)
	p.checkServers(ctx, config)
	p.checkTime()
	return nil
}

// retryFromOwnOrigin repeats a request answered with 403 from the endpoint's own origin. If only the origin was
// refused, the other checks can still run. A 403 mints nothing, so there are still two mints. It returns the answer to
// check, and its origin.
func (p *prober) retryFromOwnOrigin(ctx context.Context, first answer) (answer, string) {
	if p.origin == "" || first.status != http.StatusForbidden {
		return first, p.origin
	}
	if again := p.browser.get(ctx, ""); again.err == nil && again.status != http.StatusForbidden {
		return again, ""
	}
	return first, p.origin
}
