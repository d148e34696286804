package secretcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orga-session/orga-session/core/internal/flight"
	"github.com/orga-session/orga-session/core/internal/metric"
	"github.com/orga-session/orga-session/core/internal/wallclock"
	"github.com/orga-session/orga-session/core/secret"
)

const (
	// DefaultTTL is how long a fetched secret stays fresh.
	DefaultTTL = 5 * time.Minute

	fetchTimeout  = 2 * time.Second  // for one fetch; a store's client would wait far longer
	maxAbandoned  = 8                // fetches that continue after fetchTimeout
	staleLimit    = 24 * time.Hour   // past the TTL, while the store is down
	maxBackoff    = time.Minute      // between failed fetches while there is a cached value
	emptyBackoff  = time.Second      // the same without a cached value, while callers wait
	forceInterval = 30 * time.Second // between forced refreshes
	readyInterval = 10 * time.Second // between fetches caused by readiness checks
)

// Cache caches the secret of a [secret.Source]:
//
//   - A fresh secret costs no lock and no allocation.
//   - At most one fetch is in flight. It is independent of waiting callers, and ends after 2 s, even if the Source ignores
//     its context.
//   - Past the TTL (±20 %, so that instances do not all refresh at once), one caller refreshes, waiting for at most a third
//     of its remaining time; all others get the stale value immediately, unless [Options].WaitWhenOld.
//   - While the store is down, or its secret is unusable, the stale value is served for 24 h more, and the store is asked
//     again after 1, 2, 4 … 60 s. After a [secret.ErrPermanent], the value is served until two TTLs after the last
//     successful fetch. Without a cached value, a failure is cached for 1 s.
//   - It uses the wall clock, because the monotonic clock stops in a frozen instance. A clock that is set back causes one
//     refresh; if that fails, the value counts as one TTL old.
//   - It refreshes only within calls, never in the background, where a frozen instance would stall it.
//
// It is safe for concurrent use; create one with [New].
type Cache struct {
	src  secret.Source
	opts Options
	now  func() time.Time

	current atomic.Pointer[entry] // written under mu, read without it
	fetches flight.Group[secret.Secret]

	mu       sync.Mutex
	pending  *fetch // nil for none
	failures int    // failed fetches since the last successful one
	failed   error  // the error of the last of them
	failedAt time.Time
	refused  bool // one of them was ErrPermanent
	forcedAt time.Time
}

// entry is a fetched secret.
type entry struct {
	secret     secret.Secret
	fetchedAt  time.Time
	freshUntil time.Time
}

func (e *entry) fresh(now time.Time) bool {
	return e != nil && !now.Before(e.fetchedAt) && now.Before(e.freshUntil)
}

// fetch is a fetch in flight.
type fetch struct {
	*flight.Flight[secret.Secret]
	forced bool
}

// Options are the options of a [Cache]. The zero value is usable.
type Options struct {
	// Name identifies the secret in errors and log lines, such as "awssm:orga-key". It must not be secret.
	Name string
	// TTL is how long a fetched secret is fresh; 0 or less is DefaultTTL.
	TTL time.Duration
	// Log receives rotations and failed fetches; nil discards them.
	Log *slog.Logger
	// WaitWhenOld makes every caller wait for the refresh of a value that is two TTLs old, not only the caller that starts
	// it: for secrets by which callers are judged, because the value may have been withdrawn while the instance was idle.
	WaitWhenOld bool
	// OnChange, if set, is called with each new version, including the first, before callers get it. It must
	// not call the Cache.
	OnChange func(secret.Secret)
}

// New returns a Cache of src. It fetches nothing yet.
func New(src secret.Source, opts Options) *Cache {
	if opts.TTL <= 0 {
		opts.TTL = DefaultTTL
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{src: src, opts: opts, now: wallclock.Now}
	c.fetches.Timeout, c.fetches.MaxAbandoned = fetchTimeout, maxAbandoned
	return c
}

// Get returns the secret. It asks the store only if no secret is cached or the cached one is past its TTL. The
// error is that of ctx, or a [*FetchError] if no usable value is cached.
func (c *Cache) Get(ctx context.Context) (secret.Secret, error) {
	if e := c.current.Load(); e.fresh(c.now()) {
		return e.secret, nil
	}
	return c.refresh(ctx)
}

func (c *Cache) refresh(ctx context.Context) (secret.Secret, error) {
	c.mu.Lock()
	now := c.now()
	e, f := c.current.Load(), c.pending
	usable := c.usable(now)
	switch {
	case e.fresh(now), usable && (f != nil && !c.mustWait(now) || c.backingOff(now)):
		c.mu.Unlock()
		return e.secret, nil
	case f == nil && c.backingOff(now):
		defer c.mu.Unlock()
		return secret.Secret{}, c.fetchError(now)
	case f == nil:
		f = c.start(ctx, now, false)
	}
	c.mu.Unlock()

	if usable {
		if f.WaitShare(ctx, 1.0/3) != nil { // the caller needs the rest of its time to use the secret
			if s, ok := c.stale(); ok {
				return s, nil
			}
		}
	}
	left := f.Wait(ctx)
	if left == nil {
		if s, err := f.Result(); err == nil {
			return s, nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now = c.now()
	switch {
	case c.usable(now):
		return c.current.Load().secret, nil
	case left != nil:
		return secret.Secret{}, left
	}
	return secret.Secret{}, c.fetchError(now)
}

// mustWait reports whether every caller waits for the fetch in flight. If the last one failed recently, the store is probably
// still down. c.mu is held.
func (c *Cache) mustWait(now time.Time) bool {
	down := c.failed != nil && wallclock.WithinAt(now, c.failedAt, 2*maxBackoff)
	return c.opts.WaitWhenOld && !down && !wallclock.WithinAt(now, c.current.Load().fetchedAt, 2*c.opts.TTL)
}

// stale returns the cached secret, and reports whether it may still be served.
func (c *Cache) stale() (secret.Secret, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.usable(c.now()) {
		return secret.Secret{}, false
	}
	return c.current.Load().secret, true
}

// Refresh replaces a secret that was rejected when used; bad is the rejected version. It asks the store at
// most once in 30 s, and returns the cached secret otherwise. If the result's Version is still bad, the store
// has nothing newer. The error is that of ctx, or what the Source returned; with no
// usable value cached, Refresh is Get.
func (c *Cache) Refresh(ctx context.Context, bad secret.Version) (secret.Secret, error) {
	for {
		c.mu.Lock()
		now := c.now()
		e, f := c.current.Load(), c.pending
		switch {
		case !c.usable(now):
			c.mu.Unlock()
			return c.refresh(ctx)
		case e.secret.Version != bad, f == nil && wallclock.WithinAt(now, c.forcedAt, forceInterval):
			c.mu.Unlock()
			return e.secret, nil
		case f == nil:
			c.forcedAt = now
			f = c.start(ctx, now, true)
		}
		c.mu.Unlock()

		if err := f.Wait(ctx); err != nil {
			return secret.Secret{}, err
		}
		if f.forced {
			return f.Result()
		}
		// The fetch in flight may have asked before the rotation, so fetch again.
	}
}

// Ready returns nil if a usable secret is cached. Otherwise it is [Cache.Get], except that it asks the store
// at most every 10 s, so that health checks do not load it.
func (c *Cache) Ready(ctx context.Context) error {
	c.mu.Lock()
	now := c.now()
	if c.usable(now) {
		c.mu.Unlock()
		return nil
	}
	if c.pending == nil && c.failed != nil && wallclock.WithinAt(now, c.failedAt, readyInterval) {
		defer c.mu.Unlock()
		return c.fetchError(now)
	}
	c.mu.Unlock()
	_, err := c.Get(ctx)
	return err
}

// start starts a fetch that no caller can cancel. c.mu is held.
func (c *Cache) start(ctx context.Context, now time.Time, forced bool) *fetch {
	call := func(ctx context.Context) (secret.Secret, error) {
		s, err := c.src.Fetch(ctx)
		if err == nil && c.opts.OnChange != nil && ctx.Err() == nil && c.changes(s) {
			c.opts.OnChange(s)
		}
		return s, err
	}
	// Fresh from the start of the fetch, because the instance may be frozen before the answer.
	land := func(s secret.Secret, err error) { c.land(now, s, err) }
	c.pending = &fetch{c.fetches.Start(ctx, call, land), forced}
	return c.pending
}

// changes reports whether s is a different version than the cached one.
func (c *Cache) changes(s secret.Secret) bool {
	old := c.current.Load()
	return old == nil || old.secret.Version != s.Version
}

// land stores the outcome of a fetch that started at the given time.
func (c *Cache) land(started time.Time, s secret.Secret, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = nil
	if err != nil {
		now := c.now()
		c.failures++
		c.failed, c.failedAt = err, now
		c.refused = c.refused || errors.Is(err, secret.ErrPermanent)
		c.rebase(now)
		c.logFailure(now)
		return
	}
	c.logSuccess(s)
	jittered := time.Duration(float64(c.opts.TTL) * (0.8 + 0.4*rand.Float64()))
	c.current.Store(&entry{s, started, started.Add(jittered)})
	c.failures, c.failed, c.refused = 0, nil, false
}

// rebase handles a wall clock set back to before the last successful fetch: otherwise the stale value would be served for
// longer by that time. The value now counts as one TTL old. c.mu is held.
func (c *Cache) rebase(now time.Time) {
	if e := c.current.Load(); e != nil && e.fetchedAt.After(now) {
		c.current.Store(&entry{secret: e.secret, fetchedAt: now.Add(-c.opts.TTL)})
	}
}

// logSuccess logs a successful fetch before its secret is cached. c.mu is held.
func (c *Cache) logSuccess(s secret.Secret) {
	log := c.opts.Log.With("source", c.opts.Name, "version", s.Version)
	switch old := c.current.Load(); {
	case old != nil && old.secret.Version != s.Version:
		log.Info("secret rotated", "was", old.secret.Version, metric.Key, metric.SecretRotated)
	case c.failures > 0:
		log.Info("secret fetch recovered", "failures", c.failures)
	default:
		log.Debug("secret fetched")
	}
}

// logFailure logs a failed fetch. Fetches are limited to one per backoff window, and so are the lines. c.mu is held.
func (c *Cache) logFailure(now time.Time) {
	level, msg, counter, serving := slog.LevelWarn, "secret fetch failed", metric.SecretFetchFailed, "nothing"
	if c.refused || !passes(c.failed) {
		// Permanent until somebody acts: access denied, or the secret deleted, disabled or unusable.
		level, msg, counter = slog.LevelError, "secret fetch failed permanently", metric.SecretFetchFailedPermanently
	}
	attrs := []any{"source", c.opts.Name, "cause", c.failed.Error(), "retry_in", c.backoff(now).String()}
	if c.usable(now) {
		serving = "cached value"
		attrs = append(attrs, "usable_until", c.usableUntil().UTC().Format(time.RFC3339))
	}
	c.opts.Log.Log(context.Background(), level, msg, append(attrs, "serving", serving, metric.Key, counter)...)
}

// usable reports whether the cached secret may be served past its TTL. c.mu is held.
func (c *Cache) usable(now time.Time) bool {
	return c.current.Load() != nil && now.Before(c.usableUntil())
}

// usableUntil returns when the cached secret, which must exist, can no longer be served. c.mu is held.
func (c *Cache) usableUntil() time.Time {
	keep := c.opts.TTL + staleLimit
	if c.refused {
		keep = 2 * c.opts.TTL
	}
	return c.current.Load().fetchedAt.Add(keep)
}

// backingOff reports whether a fetch failed so recently that it is too early for another. c.mu is held.
func (c *Cache) backingOff(now time.Time) bool {
	return c.failed != nil && wallclock.WithinAt(now, c.failedAt, c.backoff(now))
}

// backoff returns the time between the last fetch, which failed, and the next. c.mu is held.
func (c *Cache) backoff(now time.Time) time.Duration {
	if !c.usable(now) {
		return emptyBackoff
	}
	return min(maxBackoff, time.Second<<min(c.failures-1, 10))
}

// fetchError returns the error if there is no usable value. c.mu is held.
func (c *Cache) fetchError(now time.Time) error {
	wait := c.failedAt.Add(c.backoff(now)).Sub(now)
	return &FetchError{RetryAfter: max(time.Second, wait), Err: fmt.Errorf("%s: %w", c.opts.Name, c.failed)}
}
