package throttle

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/wallclock"
	"github.com/orga-session/orga-session/core/ratelimit"
)

const (
	// sharedWait bounds the wait for the shared limiter, so that a request is decided within 100 ms.
	sharedWait = 90 * time.Millisecond
	// maxBackoff bounds the interval between attempts to reach the shared limiter, and so how long instances still count alone
	// after it has recovered.
	maxBackoff = 10 * time.Second
)

// Log messages of a [Store] at the start and the end of an outage.
const (
	msgStoreDown = "rate limit store unavailable"
	msgStoreBack = "rate limit store available again"
)

// StoreOptions configure a [Store].
type StoreOptions struct {
	Strict bool         // fail while the shared limiter is down, instead of counting per instance
	Log    *slog.Logger // nil discards
}

// Store is a [ratelimit.Limiter] around one that instances share. It bounds the time of a decision, remembers refusals, and
// falls back to a [Memory] while the shared limiter is down:
//
//   - A decision takes at most 100 ms.
//   - A bucket that refused is not asked again before the time that it named, so retries of a limited caller cause no
//     calls.
//   - In an outage, the instance counts alone. It starts from zero, but later outages continue its counts, so that a caller
//     who causes outages, by keeping the instance busy, does not get the limit again in each. One request at a time tries
//     the shared limiter again, after 1, 2, 4 … 10 s. A strict Store fails instead, and every request tries. The start
//     and the end of an outage are logged once each.
//
// A Store is safe for concurrent use. Create one with [NewStore] or [Open].
type Store struct {
	shared  ratelimit.Limiter // nil if there is none: Memory only
	strict  bool
	log     *slog.Logger
	refused refusals
	own     *Memory // counts of all outages, or everything if shared is nil

	mu       sync.Mutex
	failures int       // in a row; 0 while shared is in use
	outSince time.Time // wall clock, as is triedAt
	triedAt  time.Time
}

// NewStore returns a Store around shared. If shared is nil, it counts in the instance's memory.
func NewStore(shared ratelimit.Limiter, o StoreOptions) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{shared: shared, strict: o.Strict, log: o.Log, refused: newRefusals(), own: NewMemory()}
}

// Ping opens a connection to the shared limiter ahead of the first request, if the limiter has a Ping method.
func (s *Store) Ping(ctx context.Context) error {
	if p, ok := s.shared.(interface{ Ping(context.Context) error }); ok {
		return p.Ping(ctx)
	}
	return nil
}

// Close closes the shared limiter.
func (s *Store) Close() error {
	if c, ok := s.shared.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Allow implements [ratelimit.Limiter]. Unless the Store is strict, it fails only if ctx ends.
func (s *Store) Allow(ctx context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	if s.shared == nil {
		return s.own.Allow(ctx, buckets)
	}
	ask, probe := s.next()
	if !ask {
		return s.alone(ctx, buckets)
	}
	if !probe {
		if decisions := s.refused.find(buckets); decisions != nil {
			return decisions, nil
		}
	}
	bounded, cancel := context.WithTimeout(ctx, sharedWait)
	defer cancel()
	decisions, err := s.shared.Allow(bounded, buckets)
	switch {
	case err == nil:
		if probe {
			s.recovered()
		}
		s.refused.remember(buckets, decisions)
		return decisions, nil
	case ctx.Err() != nil: // says nothing about the store
		return nil, err
	}
	s.failed(err, probe)
	if s.strict {
		return nil, err
	}
	return s.alone(ctx, buckets)
}

func (s *Store) alone(ctx context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	request.From(ctx).LimitFallback = true
	return s.own.Allow(ctx, buckets)
}

// next reports whether to ask shared, and whether the request is a probe for its recovery.
func (s *Store) next() (ask, probe bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures == 0 {
		return true, false
	}
	if !s.strict && wallclock.Within(s.triedAt, min(maxBackoff, time.Second<<min(s.failures-1, 10))) {
		return false, false
	}
	s.triedAt = wallclock.Now() // other requests do not try meanwhile
	return true, true
}

func (s *Store) failed(err error, probe bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 && !probe { // the request started before the outage was detected
		return
	}
	s.triedAt = wallclock.Now()
	if s.failures++; s.failures == 1 {
		s.outSince = s.triedAt
		meanwhile := "this instance counts alone"
		if s.strict {
			meanwhile = "every mint is refused"
		}
		s.log.Warn(msgStoreDown, "cause", err.Error(), "meanwhile", meanwhile)
	}
}

func (s *Store) recovered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures == 0 {
		return
	}
	s.failures = 0
	s.log.Info(msgStoreBack, "down_for", wallclock.Now().Sub(s.outSince).Round(time.Second).String())
}
