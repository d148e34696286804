package core

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/exchange"
	"github.com/orga-session/orga-session/core/policy"
	"github.com/orga-session/orga-session/core/secret"
)

// Drivers are the parts that differ from one platform to the next.
type Drivers struct {
	// Secrets are the stores that the program links, beside env: and file:.
	Secrets secret.Drivers
	// Verifiers are ways of your own to know a caller, by the name that ORGA_AUTH gives each. The names
	// oidc, hmac, gateway and anonymous are taken.
	Verifiers map[string]policy.Verifier
	// Log receives one line a request and whatever else a person should see; nil is Config.Logger(nil).
	Log *slog.Logger
}

// New puts an endpoint together: routes, policy and session, for the default tenant and all others.
//
// The handler is always usable. What is wrong with the settings comes back as one error that joins
// every fault, each by the setting's name and without its value; each is also logged, and the handler
// then answers `misconfigured` where it would mint, while its health stays good: a platform that
// restarts what fails would only hide the reason.
//
// New fetches the key and opens a connection to Orga, both at once and for 2 s at most, so that the
// first caller waits for neither. It reports no failure of that: the first caller tries again.
func New(ctx context.Context, cfg Config, drivers Drivers) (http.Handler, error) {
	log := drivers.Log
	if log == nil {
		log = cfg.Logger(nil)
	}
	b := newBuilder(ctx, cfg, drivers, log)
	e := b.endpoint()
	b.warm(ctx, e)
	e.fault = errors.Join(b.faults...)
	b.log.Info("started", "version", Version)
	return b.telemetry.Handler(exchange.Handler(e, b.log), pattern), e.fault
}

// warmTimeout bounds what New waits for: an instance must start when nothing answers.
const warmTimeout = 2 * time.Second

// warm does in init what the first caller would wait for, and reads the tenants, whose faults are
// faults of the settings.
func (b *builder) warm(ctx context.Context, e *endpoint) {
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	var wg sync.WaitGroup
	if len(b.faults) == 0 {
		wg.Go(func() { b.direct.warm(ctx, b.cfg.BaseURL) })
		wg.Go(func() { _, _ = e.home.key.Get(ctx) }) // the cache logs what fails, here and below
		if b.hmacKey != nil {
			wg.Go(func() { _, _ = b.hmacKey.Get(ctx) })
		}
		if b.shared != nil {
			wg.Go(func() { _ = b.shared.Ping(ctx) }) // the first caller finds out, and says so
		}
	}
	if e.directory != nil {
		wg.Go(func() {
			before := len(b.faults)
			_, err := e.directory.tenants(ctx)
			// What is wrong in the document is among the faults by now; that there is none is one, too.
			if p, ok := errors.AsType[*exchange.Problem](err); ok && p.Code == exchange.Misconfigured && len(b.faults) == before {
				b.fault("ORGA_TENANTS_SOURCE", p.Cause)
			}
		})
	}
	wg.Wait()
}
