package core

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
)

// Drivers are the parts that differ from one platform to the next.
type Drivers struct {
	// Secrets are the stores that the program links, beside env: and file:.
	Secrets secret.Drivers
	// Limiters are the stores for limits that instances share, by scheme, beside memory.
	Limiters ratelimit.Drivers
	// Verifiers are ways of your own to know a caller, by the name that ORGA_AUTH gives each. The names
	// oidc, hmac, gateway and anonymous are taken.
	Verifiers map[string]auth.Verifier
	// Log receives one line a request and whatever else a person should see; nil is Config.Logger(nil).
	Log *slog.Logger
}

// New puts an endpoint together: routes, policy and session, for the default tenant and all others.
//
// The handler is safe for concurrent use, and always usable. What is wrong with the settings comes back as one error that joins
// every fault, each by the setting's name and without its value; each is also logged, and the handler
// then answers `misconfigured` where it would mint, while its health stays good: a platform that
// restarts what fails would only hide the reason.
//
// New fetches the key and opens a connection to Orga, both at once and for 2 s at most, so that the
// first caller waits for neither. A failure of that is reported only where it is a fault of the
// settings, as a file that is missing. Such a file may yet appear: until then the endpoint answers
// `misconfigured`, and needs no restart to mint.
func New(ctx context.Context, cfg Config, drivers Drivers) (http.Handler, error) {
	log := drivers.Log
	if log == nil {
		log = cfg.Logger(nil)
	}
	b := newBuilder(ctx, cfg, drivers, log)
	e := b.endpoint()
	mendable := b.warm(ctx, e)
	e.fault = errors.Join(b.faults...)
	b.log.Info("started", "version", Version)
	return b.telemetry.Handler(request.Handler(e, b.log), pattern), errors.Join(e.fault, mendable)
}

// warmTimeout bounds what New waits for: an instance must start when nothing answers.
const warmTimeout = 2 * time.Second

// warm does in init what the first caller would wait for, and reads the tenants, whose faults are
// faults of the settings. The keys are fetched whatever else is wrong, since what is wrong with them
// must not wait for the next deployment to show; warm's error is that, and it may be mended while
// the endpoint runs.
func (b *builder) warm(ctx context.Context, e *endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	var wg sync.WaitGroup
	faults := make([]error, len(e.keys))
	for i, key := range e.keys {
		wg.Go(func() { faults[i] = fetch(ctx, key) })
	}
	if len(b.faults) == 0 {
		wg.Go(func() { b.direct.Warm(ctx, b.cfg.BaseURL) })
		wg.Go(func() { _ = b.limiter.Ping(ctx) }) // the first caller finds out, and says so
	}
	if e.directory != nil {
		wg.Go(func() { b.readTenants(ctx, e.directory) })
	}
	wg.Wait()
	for _, fault := range faults {
		if fault != nil {
			b.tell(fault)
		}
	}
	return errors.Join(faults...)
}

// fetch puts a key at hand. Its error is a fault of the settings; the cache logs whatever fails.
func fetch(ctx context.Context, key *secret.Cache) error {
	_, err := key.Get(ctx)
	if fault, ok := errors.AsType[*settingError](err); ok {
		return fault
	}
	return nil
}

func (b *builder) readTenants(ctx context.Context, d *directory) {
	_, err := d.tenants(ctx)
	// What is wrong in the document is among the faults by now; that there is none is one, too.
	if fault, ok := errors.AsType[*settingError](err); ok && !d.faulty() {
		b.report(fault)
	}
}
