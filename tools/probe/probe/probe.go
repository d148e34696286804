// Package probe asks a session endpoint what a browser would ask it, and then uses what it answers: it
// tells an endpoint that answers from one that works. Each check names one thing, says what was seen,
// and, when that is wrong, what to do about it.
//
// Nothing it reports holds a token beyond its first six characters, a credential, or a header that was
// handed in; of what a server wrote, it repeats only codes, request ids and addresses.
package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Options say whom to ask, and as whom.
type Options struct {
	// URL is the endpoint. Without a path it means DefaultPath.
	URL string
	// Origin is the page's, as a browser would send it. "" stands for a page at the endpoint's own
	// origin, which CORS has nothing to say about.
	Origin string
	// Header goes with each request but the preflight, for an endpoint that asks for a credential.
	Header http.Header
	// Timeout bounds the whole run; 0 means DefaultTimeout.
	Timeout time.Duration
	// RootCAs are whose certificates are trusted; nil means the system's.
	RootCAs *x509.CertPool
	// Proxy finds the proxy through which the endpoint is asked; nil means the one that HTTPS_PROXY,
	// HTTP_PROXY and NO_PROXY name. STUN and TURN servers are always asked without it.
	Proxy func(*http.Request) (*url.URL, error)
}

const (
	// DefaultPath is the mint route of the default tenant.
	DefaultPath = "/api/orga-client-secrets"
	// DefaultTimeout leaves room for two mints and for servers that do not answer.
	DefaultTimeout = 30 * time.Second
	// clientTimeout is how long Orga's clients wait for the endpoint.
	clientTimeout = 10 * time.Second
	// foreignOrigin is no page that anybody lists: .invalid never resolves (RFC 6761).
	foreignOrigin = "https://foreign-origin.invalid"
)

// Run makes every check that can be made and returns when all have, at the latest when the timeout is
// over. It mints two tokens, to see that they differ, and a third only from an endpoint that mints for a
// foreign origin. It leaves nothing behind: TURN allocations are given back.
func Run(ctx context.Context, o Options) Report {
	target, origin, err := o.addresses()
	if err != nil {
		return unasked(err)
	}
	browser, err := newBrowser(target, o)
	if err != nil {
		return unasked(err)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	p := &prober{browser: browser, origin: origin, roots: o.RootCAs}
	defer p.browser.client.CloseIdleConnections()
	p.report.URL, p.report.Origin = display(target), origin
	if err := p.all(ctx); err != nil {
		p.report.Reason = err.Error()
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		p.report.Reason = "interrupted"
	}
	p.report.finish()
	return p.report
}

func unasked(why error) Report {
	r := Report{Reason: why.Error()}
	r.finish()
	return r
}

// prober is one run. Its checks follow one another; only ICE servers are asked side by side.
type prober struct {
	browser *browser
	origin  string // "" for a page at the endpoint's own
	roots   *x509.CertPool
	report  Report
}

// all makes the checks in the order in which one makes the next possible. An error says that the run
// could not be made at all: the fault is here, not there.
func (p *prober) all(ctx context.Context) error {
	first := p.browser.get(ctx, p.origin)
	if err := p.browser.notRun(first.err); err != nil {
		return err
	}
	p.report.Timing = first.timing
	if !p.reached(first) {
		return nil
	}
	mint, page := p.despiteOrigin(ctx, first)
	if !p.answered(mint) {
		return nil
	}
	p.headers(mint)
	p.permanentKey(first, mint)
	p.preflight(ctx, mint)
	p.readable(first, mint)
	if mint.status/100 != 2 {
		return nil
	}
	config, ok := p.config(mint)
	if !ok {
		return nil
	}
	p.clock(mint, config)
	p.expiry(mint, config)
	p.fresh(ctx, page, mint, config)
	p.foreign(ctx)
	p.iceServers(ctx, config)
	p.slow()
	return nil
}

// despiteOrigin asks again as a page of the endpoint's own when the origin may be what is refused, so
// that everything behind the refusal is checked as well. A 403 mints nothing: there are still two mints.
// It says which answer to judge, and which origin got it.
func (p *prober) despiteOrigin(ctx context.Context, first answer) (answer, string) {
	if p.origin == "" || first.status != http.StatusForbidden {
		return first, p.origin
	}
	if again := p.browser.get(ctx, ""); again.err == nil && again.status != http.StatusForbidden {
		return again, ""
	}
	return first, p.origin
}
