package secret

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultTTL is how long a fetched secret is fresh.
	DefaultTTL = 5 * time.Minute

	fetchTimeout  = 2 * time.Second  // of one fetch; a store's client would wait far longer
	staleLimit    = 24 * time.Hour   // past the TTL, while the store is out
	maxBackoff    = time.Minute      // between fetches that fail while a value is at hand
	emptyBackoff  = time.Second      // the same with nothing at hand: callers are waiting
	forceInterval = 30 * time.Second // between forced refreshes
	readyInterval = 10 * time.Second // between fetches that a readiness check may cause
)

// Cache is a Source that remembers. Its promises:
//
//   - A fresh secret costs no lock and no allocation.
//   - However many callers ask, one fetch is under way. It belongs to none of them: each may leave,
//     the fetch goes on, for at most 2 s, whether the Source heeds its context or not.
//   - Past the TTL (±20 %, so that instances do not ask in step) one caller refreshes; the others
//     have the value at hand meanwhile. That one waits for a third of the time it has left at most,
//     and then has the value at hand too.
//   - While the store is out, the value at hand is served for 24 h more, and the store is asked again
//     after 1, 2, 4 … 60 s. When the store refuses for good (ErrPermanent), it is served until two TTLs
//     after the last good fetch. With nothing at hand, a failure is remembered for 1 s.
//   - Time is the wall clock's: a monotonic clock stands still in a frozen instance. A wall clock that
//     was set back causes one refresh, and where that fails, the value at hand counts as one TTL old.
//   - It refreshes inside of requests only, never from a background goroutine, which a frozen
//     instance would stall.
//
// It is safe for concurrent use; make one with NewCache.
type Cache struct {
	src  Source
	name string
	ttl  time.Duration
	log  *slog.Logger
	now  func() time.Time

	onChange func(Secret) // may be nil

	current atomic.Pointer[entry] // written under mu, read without
	running atomic.Int32          // fetches, those that were left behind among them

	mu       sync.Mutex
	flight   *flight
	failures int   // fetches that failed since the last good one
	failed   error // what the last of them said
	failedAt int64
	gone     bool // one of them was ErrPermanent
	forcedAt int64
}

// entry is a fetched secret; times are nanoseconds of the wall clock since 1970.
type entry struct {
	secret     Secret
	fetchedAt  int64
	freshUntil int64
}

func (e *entry) fresh(now int64) bool {
	return e != nil && e.fetchedAt <= now && now < e.freshUntil
}

// CacheOptions are the options of a [Cache]. The zero value is usable.
type CacheOptions struct {
	// Name stands for the secret in errors and log lines, such as "awssm:orga-key". It must not be secret.
	Name string
	// TTL is how long a fetched secret is fresh; 0 or less is DefaultTTL.
	TTL time.Duration
	// Log receives what happens to the secret; nil discards it.
	Log *slog.Logger
	// OnChange, if set, is called with each version that differs from the cached one, the first one too,
	// before callers get it. It counts against the time of the fetch.
	OnChange func(Secret)
}

// NewCache returns a Cache of src. It fetches nothing yet.
func NewCache(src Source, opts CacheOptions) *Cache {
	if opts.TTL <= 0 {
		opts.TTL = DefaultTTL
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Cache{src: src, name: opts.Name, ttl: opts.TTL, log: opts.Log, onChange: opts.OnChange, now: time.Now}
}

// Fetch makes a Cache a Source; it is Get.
func (c *Cache) Fetch(ctx context.Context) (Secret, error) { return c.Get(ctx) }

// Get is the secret at hand, fetched first where need be. Its error is ctx's own or an
// *FetchError, in which errors.Is finds what the store said.
func (c *Cache) Get(ctx context.Context) (Secret, error) {
	if e := c.current.Load(); e.fresh(c.now().UnixNano()) {
		return e.secret, nil
	}
	return c.refresh(ctx)
}

func (c *Cache) refresh(ctx context.Context) (Secret, error) {
	c.mu.Lock()
	now := c.now().UnixNano()
	e, f := c.current.Load(), c.flight
	usable := c.usable(now)
	switch {
	case e.fresh(now), usable && (f != nil || c.backingOff(now)):
		c.mu.Unlock()
		return e.secret, nil
	case f == nil && c.backingOff(now):
		defer c.mu.Unlock()
		return Secret{}, c.unavailable(now)
	case f == nil:
		f = c.start(ctx, now, false)
	}
	c.mu.Unlock()

	if usable {
		brief, cancel := staleWait(ctx)
		defer cancel()
		if f.wait(brief) != nil {
			if s, ok := c.atHand(); ok {
				return s, nil
			}
		}
	}
	left := f.wait(ctx)
	if left == nil && f.err == nil {
		return f.secret, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now = c.now().UnixNano()
	switch {
	case c.usable(now):
		return c.current.Load().secret, nil
	case left != nil:
		return Secret{}, left
	}
	return Secret{}, c.unavailable(now)
}

// atHand is the value at hand, while it may be served.
func (c *Cache) atHand() (Secret, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.usable(c.now().UnixNano()) {
		return Secret{}, false
	}
	return c.current.Load().secret, true
}

// Refresh is for a secret that its user refused: bad is the version that failed. It fetches anew, at
// most once in 30 s however many callers ask; an answer that still has the version bad says that
// there is nothing newer. Callers whose version was replaced meanwhile have the new one at once. Its
// error is ctx's own, or what the source said; with nothing at hand it is Get.
func (c *Cache) Refresh(ctx context.Context, bad Version) (Secret, error) {
	for {
		c.mu.Lock()
		now := c.now().UnixNano()
		e, f := c.current.Load(), c.flight
		switch {
		case !c.usable(now):
			c.mu.Unlock()
			return c.refresh(ctx)
		case e.secret.Version != bad, f == nil && within(now, c.forcedAt, forceInterval):
			c.mu.Unlock()
			return e.secret, nil
		case f == nil:
			c.forcedAt = now
			f = c.start(ctx, now, true)
		}
		c.mu.Unlock()

		if err := f.wait(ctx); err != nil {
			return Secret{}, err
		}
		if f.forced {
			return f.secret, f.err
		}
		// An ordinary fetch was under way; it may have asked before the rotation. Look again.
	}
}

// Ready reports whether a secret is at hand. Where none is, it asks the store, yet no more often than
// every 10 s: a health checker must not become a load on it.
func (c *Cache) Ready(ctx context.Context) error {
	c.mu.Lock()
	now := c.now().UnixNano()
	if c.usable(now) {
		c.mu.Unlock()
		return nil
	}
	if c.flight == nil && c.failed != nil && within(now, c.failedAt, readyInterval) {
		defer c.mu.Unlock()
		return c.unavailable(now)
	}
	c.mu.Unlock()
	_, err := c.Get(ctx)
	return err
}

// rebase is for a wall clock that was set back to before the last good fetch: by it, the value at hand
// would be served for as much longer. It counts as one TTL old from now on. c.mu is held.
func (c *Cache) rebase(now int64) {
	if e := c.current.Load(); e != nil && e.fetchedAt > now {
		c.current.Store(&entry{secret: e.secret, fetchedAt: now - int64(c.ttl)})
	}
}

// tell logs a fetch that succeeded, before it replaces what is at hand.
func (c *Cache) tell(s Secret) {
	switch old := c.current.Load(); {
	case old != nil && old.secret.Version != s.Version:
		c.log.Info("secret rotated", "source", c.name, "version", s.Version, "was", old.secret.Version)
	case c.failures > 0:
		c.log.Info("secret fetched again", "source", c.name, "version", s.Version, "failures", c.failures)
	default:
		c.log.Debug("secret fetched", "source", c.name, "version", s.Version)
	}
}

// warn logs a failed fetch: one line a backoff window, as fetches are no more frequent.
func (c *Cache) warn(now int64) {
	level, serving := slog.LevelWarn, "the value at hand"
	if c.gone {
		level = slog.LevelError // it does not pass by itself
	}
	attrs := []any{"source", c.name, "cause", c.failed.Error(), "retry_in", c.window(now).String()}
	if c.usable(now) {
		attrs = append(attrs, "usable_until", time.Unix(0, c.usableUntil()).UTC().Format(time.RFC3339))
	} else {
		serving = "nothing"
	}
	c.log.Log(context.Background(), level, "secret fetch failed", append(attrs, "serving", serving)...)
}

// usable reports whether the value at hand may be served past its TTL. c.mu is held.
func (c *Cache) usable(now int64) bool {
	return c.current.Load() != nil && now < c.usableUntil()
}

func (c *Cache) usableUntil() int64 {
	keep := c.ttl + staleLimit
	if c.gone {
		keep = 2 * c.ttl
	}
	return c.current.Load().fetchedAt + int64(keep)
}

// backingOff reports whether the last fetch failed so recently that the store is left alone.
func (c *Cache) backingOff(now int64) bool {
	return c.failed != nil && within(now, c.failedAt, c.window(now))
}

func (c *Cache) window(now int64) time.Duration {
	if !c.usable(now) {
		return emptyBackoff
	}
	return min(maxBackoff, time.Second<<min(c.failures-1, 10))
}

func (c *Cache) unavailable(now int64) error {
	wait := time.Duration(c.failedAt + int64(c.window(now)) - now)
	return &FetchError{RetryAfter: max(time.Second, wait), Err: fmt.Errorf("%s: %w", c.name, c.failed)}
}

// within reports whether now is less than d after then; a clock that was set back is not within.
func within(now, then int64, d time.Duration) bool {
	return then != 0 && then <= now && now-then < int64(d)
}
