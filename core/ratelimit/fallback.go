package ratelimit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/internal/wallclock"
)

const (
	// sharedWait is how long Fallback waits for the shared limiter: a request is decided within 100 ms.
	sharedWait = 90 * time.Millisecond
	// maxAway bounds how long the shared limiter is left alone, and so how long after its return the
	// instances count alone.
	maxAway = 10 * time.Second
)

// Fallback is the limit of shared while it answers, and of a Memory while it does not: an instance then
// counts alone, from zero in each outage. After a failure shared is left alone for 1, 2, 4 … 10 s, so that
// one request pays for finding out and the others do not; one request at a time tries again. An outage is
// logged once, and so is its end.
func Fallback(shared Limiter, log *slog.Logger) Limiter {
	return &degrading{shared: shared, log: log, own: NewMemory()}
}

type degrading struct {
	shared Limiter
	log    *slog.Logger

	mu       sync.Mutex
	own      *Memory   // of this outage, or of the last one
	failures int       // in a row; 0 when shared is in use
	outSince time.Time // wall clock, as are both
	triedAt  time.Time
}

func (d *degrading) Allow(ctx context.Context, key string, q Quota) (Decision, error) {
	ask, probe := d.next()
	if !ask {
		return d.alone(ctx, key, q)
	}
	bounded, cancel := context.WithTimeout(ctx, sharedWait)
	defer cancel()
	decision, err := d.shared.Allow(bounded, key, q)
	switch {
	case err == nil:
		if probe {
			d.recovered()
		}
		return decision, nil
	case ctx.Err() == nil: // a caller who left says nothing about the store
		d.failed(err, probe)
	}
	return d.alone(ctx, key, q)
}

func (d *degrading) alone(ctx context.Context, key string, q Quota) (Decision, error) {
	d.mu.Lock()
	own := d.own
	d.mu.Unlock()
	return own.Allow(ctx, key, q)
}

// next tells whether to ask shared, and whether that is to find out if it is back.
func (d *degrading) next() (ask, probe bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failures == 0 {
		return true, false
	}
	if wallclock.Within(d.triedAt, min(maxAway, time.Second<<min(d.failures-1, 10))) {
		return false, false
	}
	d.triedAt = wallclock.Now() // the others stay away while this one asks
	return true, true
}

func (d *degrading) failed(err error, probe bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failures > 0 && !probe { // asked before the outage was known
		return
	}
	d.triedAt = wallclock.Now()
	if d.failures++; d.failures == 1 {
		d.outSince = d.triedAt
		d.own = NewMemory()
		d.log.Warn("the shared rate limit is out; this instance counts alone", "cause", err.Error())
	}
}

func (d *degrading) recovered() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failures == 0 {
		return
	}
	d.failures = 0
	d.log.Info("the shared rate limit is back", "out_for", wallclock.Now().Sub(d.outSince).Round(time.Second).String())
}
