package secretcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/secret"
)

const (
	ttl  = 5 * time.Minute
	past = ttl*12/10 + time.Second // the jitter is over, whichever it was
)

var errOut = errors.New("the store answered InternalServiceError")

// store is a Source with controllable faults. Its fetches take a tenth of a second.
type store struct {
	mu      sync.Mutex
	version string
	err     error
	hangs   bool
	fetches int
}

func (s *store) Fetch(ctx context.Context) (secret.Secret, error) {
	s.mu.Lock()
	s.fetches++
	version, err, hangs := s.version, s.err, s.hangs
	s.mu.Unlock()
	took := 100 * time.Millisecond
	if hangs {
		took = time.Hour
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return secret.Secret{}, secret.Unavailable(ctx.Err())
	}
	if err != nil {
		return secret.Secret{}, err
	}
	return secret.Secret{Value: secret.NewValue("key of " + version), Version: secret.Version(version)}, nil
}

func (s *store) set(change func(*store)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *store) rotate(version string) { s.set(func(s *store) { s.version = version }) }
func (s *store) fail(err error)        { s.set(func(s *store) { s.err = err }) }

func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// bench is a cache of a store, with its log, in a synctest bubble.
type bench struct {
	*testing.T
	*secretcache.Cache
	store *store
	log   *bytes.Buffer
}

// run tests an empty cache whose store has v1.
func run(t *testing.T, name string, test func(b bench)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := bench{t, nil, &store{version: "v1"}, new(bytes.Buffer)}
			log := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{
				Level: slog.LevelDebug,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == slog.TimeKey {
						return slog.Attr{}
					}
					return a
				},
			}))
			b.Cache = secretcache.New(b.store, secretcache.Options{Name: "awssm:orga", TTL: ttl, Log: log})
			test(b)
		})
	})
}

// want checks what one caller gets: a version, or for "" a *FetchError.
func (b bench) want(when, version string) {
	b.Helper()
	got, err := b.Get(b.Context())
	if out, ok := errors.AsType[*secretcache.FetchError](err); version == "" {
		if !ok || out.RetryAfter < time.Second || out.RetryAfter > 20*time.Second {
			b.Errorf("%s: the error is %v; want a FetchError with a small RetryAfter", when, err)
		}
		return
	}
	if err != nil || string(got.Version) != version || got.Value.Reveal() != "key of "+version {
		b.Errorf("%s: version %q, %v; want %q", when, got.Version, err, version)
	}
}

// fetched checks the total number of fetches.
func (b bench) fetched(when string, n int) {
	b.Helper()
	if got := b.store.count(); got != n {
		b.Errorf("%s: %d fetches, want %d", when, got, n)
	}
}

// logged checks the number of log lines that contain a text.
func (b bench) logged(when, text string, n int) {
	b.Helper()
	if got := strings.Count(b.log.String(), text); got != n {
		b.Errorf("%s: %d lines with %q, want %d, in\n%s", when, got, text, n, b.log)
	}
}

// all runs n concurrent callers and waits for them.
func all(n int, call func(int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { call(i) })
	}
	wg.Wait()
}

func TestCacheWarm(t *testing.T) {
	run(t, "a fresh secret is fetched once", func(b bench) {
		for range 1000 {
			b.want("warm", "v1")
		}
		b.fetched("after 1,000 calls", 1)
		b.logged("after 1,000 calls", `level=DEBUG msg="secret fetched" source=awssm:orga version=v1`, 1)
	})
	run(t, "instances do not refresh at the same time", func(b bench) {
		var earliest, latest time.Duration = time.Hour, 0
		for range 200 {
			s := &store{version: "v1"}
			c := secretcache.New(s, secretcache.Options{Name: "awssm:orga", TTL: ttl})
			_, _ = c.Get(b.Context())
			start := time.Now()
			for s.count() == 1 {
				time.Sleep(time.Second)
				_, _ = c.Get(b.Context())
			}
			earliest, latest = min(earliest, time.Since(start)), max(latest, time.Since(start))
		}
		if earliest < ttl*8/10-time.Second || latest > past || latest-earliest < ttl*3/10 {
			b.Errorf("of 200 caches the first refreshed after %v, the last after %v", earliest, latest)
		}
	})
	run(t, "a zero TTL means the default", func(b bench) {
		c := secretcache.New(b.store, secretcache.Options{Name: "awssm:orga"})
		_, _ = c.Get(b.Context())
		time.Sleep(secretcache.DefaultTTL * 7 / 10)
		_, _ = c.Get(b.Context())
		b.fetched("before the TTL", 1)
		time.Sleep(secretcache.DefaultTTL / 2)
		_, _ = c.Get(b.Context())
		b.fetched("after the TTL", 2)
	})
}

func TestCacheRotation(t *testing.T) {
	run(t, "a new version is fetched after the TTL", func(b bench) {
		b.want("at first", "v1")
		b.store.rotate("v2")
		b.want("within the TTL", "v1")
		time.Sleep(past)
		b.want("past the TTL", "v2")
		b.logged("rotated", `level=INFO msg="secret rotated" source=awssm:orga version=v2 was=v1`, 1)
	})
	run(t, "fault 5: 100 callers at expiry, one fetch", func(b bench) {
		b.want("at first", "v1")
		b.store.rotate("v2")
		time.Sleep(past)
		var old, fresh atomic.Int32
		start := time.Now()
		all(100, func(int) {
			got, err := b.Get(b.Context())
			switch {
			case err == nil && got.Version == "v1" && time.Since(start) == 0:
				old.Add(1)
			case err == nil && got.Version == "v2":
				fresh.Add(1)
			}
		})
		if old.Load() != 99 || fresh.Load() != 1 {
			b.Errorf("%d callers had the old value at once and %d the new one, want 99 and 1", old.Load(), fresh.Load())
		}
		b.fetched("at expiry", 2)
	})
	for _, tt := range []struct {
		age         time.Duration
		waitWhenOld bool
		old         int32 // callers that get the old value immediately
	}{{2*ttl - time.Second, true, 99}, {2 * ttl, true, 0}, {time.Hour, true, 0}, {time.Hour, false, 99}} {
		run(t, fmt.Sprintf("100 callers after %v, old values refused: %t", tt.age, tt.waitWhenOld), func(b bench) {
			b.Cache = secretcache.New(b.store, secretcache.Options{Name: "awssm:orga", TTL: ttl, WaitWhenOld: tt.waitWhenOld})
			b.want("at first", "v1")
			b.store.rotate("v2")
			time.Sleep(tt.age - 100*time.Millisecond) // the fetch has taken a tenth of a second
			var old atomic.Int32
			start := time.Now()
			all(100, func(int) {
				ctx, cancel := context.WithTimeout(b.Context(), 8*time.Second)
				defer cancel()
				got, err := b.Get(ctx)
				if got.Version == "v1" && time.Since(start) == 0 {
					old.Add(1)
				} else if err != nil || got.Version != "v2" || time.Since(start) != 100*time.Millisecond {
					b.Errorf("version %q, %v, after %v", got.Version, err, time.Since(start))
				}
			})
			if old.Load() != tt.old {
				b.Errorf("%d callers had the old value, want %d", old.Load(), tt.old)
			}
			b.fetched("after the sleep", 2)
		})
	}
	run(t, "fault 1: an old value in an outage, for callers who wait", func(b bench) {
		b.Cache = secretcache.New(b.store, secretcache.Options{Name: "awssm:orga", TTL: ttl, WaitWhenOld: true})
		b.want("at first", "v1")
		b.store.set(func(s *store) { s.hangs = true })
		for range 2 {
			time.Sleep(2 * ttl)
			for i := range 100 {
				start, waited := time.Now(), atomic.Int32{}
				all(10, func(int) {
					ctx, cancel := context.WithTimeout(b.Context(), 3*time.Second)
					defer cancel()
					got, err := b.Get(ctx)
					if took := time.Since(start); err != nil || got.Version != "v1" || took != 0 && took != time.Second {
						b.Errorf("burst %d: version %q, %v, after %v", i, got.Version, err, took)
					} else if took > 0 {
						waited.Add(1)
					}
				})
				if n := waited.Load(); i == 0 && n != 10 || i > 0 && n > 1 { // later, only the caller that starts a fetch
					b.Errorf("burst %d: %d callers waited", i, n)
				}
				time.Sleep(3 * time.Second)
			}
		}
	})
	run(t, "fault 8: frozen for an hour", func(b bench) {
		b.want("at first", "v1")
		b.store.rotate("v2")
		time.Sleep(time.Hour)
		b.want("thawed", "v2")
		b.fetched("thawed", 2)
	})
	run(t, "fault 8: the wall clock steps back", func(b bench) {
		var back atomic.Int64
		b.SetClock(func() time.Time { return time.Now().Add(-time.Duration(back.Load())) })
		b.want("at first", "v1")
		back.Store(int64(3 * time.Hour))
		for range 10 {
			b.want("set back", "v1")
			time.Sleep(time.Second)
		}
		b.fetched("set back", 2)
		time.Sleep(past)
		b.want("past the TTL", "v1")
		b.fetched("past the TTL", 3)
	})
	run(t, "fault 8: the wall clock steps back while the store is down", func(b bench) {
		var back atomic.Int64
		b.SetClock(func() time.Time { return time.Now().Add(-time.Duration(back.Load())) })
		b.want("at first", "v1")
		b.store.fail(errOut)
		back.Store(int64(3 * time.Hour))
		for range 100 {
			b.want("set back", "v1")
		}
		b.fetched("set back", 2)
	})
	for name, tt := range map[string]struct {
		err   error
		limit time.Duration // for which the key is served yet
	}{
		"fault 6: the wall clock steps back after a refusal": {secret.ErrPermanent, ttl},
		"fault 7: the wall clock steps back in an outage":    {errOut, 24 * time.Hour},
	} {
		run(t, name, func(b bench) {
			var back atomic.Int64
			b.SetClock(func() time.Time { return time.Now().Add(-time.Duration(back.Load())) })
			b.want("at first", "v1")
			b.store.fail(tt.err)
			time.Sleep(past)
			b.want("before", "v1")
			back.Store(int64(2 * time.Hour))
			b.want("set back", "v1")
			time.Sleep(tt.limit - time.Second)
			b.want("before the limit", "v1")
			time.Sleep(time.Second)
			b.want("after the limit", "")
		})
	}
	run(t, "a fetch interrupted by a freeze counts from its start", func(b bench) {
		var ahead atomic.Int64
		b.SetClock(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
		done := make(chan struct{})
		go func() { b.want("the caller that was frozen", "v1"); close(done) }()
		synctest.Wait()
		ahead.Store(int64(30 * time.Hour)) // the freeze, longer than any value may be served; timers stand still
		<-done
		b.store.rotate("v2")
		b.want("the next caller", "v2")
	})
}

// Readers of a fresh secret do not wait for the lock. A bubble's clock does not advance while a mutex blocks, so this runs
// in real time.
func TestCacheWarmTakesNoLock(t *testing.T) {
	c := secretcache.New(&store{version: "v1"}, secretcache.Options{})
	if _, err := c.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Lock()()
	got := make(chan error, 1)
	go func() {
		_, err := c.Get(t.Context())
		got <- err
	}()
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Get waits for the lock")
	}
}

func TestCacheOutage(t *testing.T) {
	run(t, "fault 1: the store is down, a cached key", func(b bench) {
		b.want("at first", "v1")
		b.store.fail(errOut)
		time.Sleep(past)
		b.want("past the TTL", "v1")
		var gaps []time.Duration // from one fetch to the next
		start, last := time.Now(), time.Now()
		for time.Since(start) < 5*time.Minute {
			time.Sleep(100 * time.Millisecond)
			known := b.store.count()
			b.want("while the store is down", "v1")
			if b.store.count() > known {
				gaps = append(gaps, time.Since(last).Round(time.Second))
				last = time.Now()
			}
		}
		if want := "[1s 2s 4s 8s 16s 32s 1m0s 1m0s 1m0s]"; fmt.Sprint(gaps) != want {
			b.Errorf("fetched %v after one another, want %s", gaps, want)
		}
		b.logged("one line a backoff window", "level=WARN", 1+len(gaps))
		b.logged("while the store is down", "level=ERROR", 0)
		b.logged("the first", `level=WARN msg="secret fetch failed" source=awssm:orga cause="the store answered InternalServiceError" retry_in=1s usable_until=2000-01-02T00:05:00Z serving="cached value"`, 1)
		b.store.fail(nil)
		time.Sleep(time.Minute)
		b.want("when the store is back", "v1")
		b.logged("when the store is back", `level=INFO msg="secret fetch recovered" source=awssm:orga version=v1 failures=10`, 1)
	})
	run(t, "fault 2: the store is down, no cached key, 100 callers", func(b bench) {
		b.store.fail(errOut)
		all(100, func(int) { b.want("no cached key", "") })
		b.fetched("100 callers", 1)
		b.logged("100 callers", "level=WARN", 1)
		time.Sleep(900 * time.Millisecond)
		b.want("within a second", "")
		b.fetched("within a second", 1)
		b.store.fail(nil)
		time.Sleep(200 * time.Millisecond)
		b.want("a second later", "v1")
		b.fetched("a second later", 2)
		b.logged("a second later", `level=INFO msg="secret fetch recovered" source=awssm:orga version=v1 failures=1`, 1)
	})
	run(t, "fault 3: the store hangs", func(b bench) {
		b.store.set(func(s *store) { s.hangs = true })
		start := time.Now()
		b.want("no cached key", "")
		if took := time.Since(start); took != 2*time.Second {
			b.Errorf("it took %v, want 2s", took)
		}
		b.logged("it hung", `cause="no answer within 2s: context deadline exceeded"`, 1)
	})
	run(t, "fault 3: the store hangs, a cached key", func(b bench) {
		b.want("at first", "v1")
		b.store.set(func(s *store) { s.hangs = true })
		time.Sleep(past)
		start := time.Now()
		all(100, func(int) { b.want("past the TTL", "v1") })
		if took := time.Since(start); took != 2*time.Second {
			b.Errorf("it took %v, want 2s", took)
		}
		start = time.Now()
		all(100, func(int) { b.want("in the backoff window", "v1") })
		if took := time.Since(start); took != 0 {
			b.Errorf("it took %v, want no time", took)
		}
	})
	run(t, "fault 3: the store hangs, a cached key, little time left", func(b bench) {
		b.want("at first", "v1")
		b.store.set(func(s *store) { s.hangs = true })
		for _, tt := range []struct{ left, waits time.Duration }{
			{1500 * time.Millisecond, 500 * time.Millisecond},
			{3 * time.Second, time.Second},
			{8 * time.Second, 2 * time.Second}, // as long as a fetch lasts
		} {
			time.Sleep(past)
			fetches := b.store.count()
			ctx, cancel := context.WithTimeout(b.Context(), tt.left)
			start := time.Now()
			got, err := b.Get(ctx)
			if took := time.Since(start); err != nil || got.Version != "v1" || took != tt.waits {
				b.Errorf("with %v left: version %q, %v, after %v; want v1 after %v", tt.left, got.Version, err, took, tt.waits)
			}
			cancel()
			b.want("meanwhile", "v1")
			b.fetched("meanwhile", fetches+1)
			time.Sleep(2 * time.Second)
		}
		b.logged("each fetch went on to its end", "no answer within 2s", 3)
	})
	run(t, "a fetch completes after its caller's timeout", func(b bench) {
		b.want("at first", "v1")
		b.store.rotate("v2")
		time.Sleep(past)
		ctx, cancel := context.WithTimeout(b.Context(), 150*time.Millisecond)
		defer cancel()
		if got, err := b.Get(ctx); err != nil || got.Version != "v1" {
			b.Errorf("version %q, %v; want v1", got.Version, err)
		}
		time.Sleep(100 * time.Millisecond)
		b.want("later", "v2")
		b.fetched("later", 2)
	})
	run(t, "a value that expires during the wait is not served", func(b bench) {
		start := time.Now()
		b.want("at first", "v1")
		b.store.fail(secret.ErrPermanent)
		time.Sleep(past)
		b.want("refused", "v1")
		b.store.fail(nil)
		b.store.rotate("v2")
		time.Sleep(2*ttl - time.Since(start) - 50*time.Millisecond)
		ctx, cancel := context.WithTimeout(b.Context(), 240*time.Millisecond)
		defer cancel()
		if got, err := b.Get(ctx); err != nil || got.Version != "v2" {
			b.Errorf("version %q, %v; want v2", got.Version, err)
		}
	})
	run(t, "a value that expires during a failed fetch is not served", func(b bench) {
		start := time.Now()
		b.want("at first", "v1")
		b.store.fail(secret.ErrPermanent)
		time.Sleep(past)
		b.want("refused", "v1")
		time.Sleep(2*ttl - time.Since(start) - 50*time.Millisecond)
		b.want("at the limit", "")
		b.fetched("at the limit", 3)
	})
	run(t, "fault 4: the caller that started the fetch disconnects", func(b bench) {
		ctx, leave := context.WithCancel(b.Context())
		all(100, func(i int) {
			if i > 0 {
				time.Sleep(time.Millisecond)
				b.want("the other 99", "v1")
				return
			}
			go func() { time.Sleep(50 * time.Millisecond); leave() }()
			start := time.Now()
			if _, err := b.Get(ctx); !errors.Is(err, context.Canceled) || time.Since(start) != 50*time.Millisecond {
				b.Errorf("who left got %v after %v", err, time.Since(start))
			}
		})
		b.fetched("in all", 1)
	})
	run(t, "fault 6: refused at a refresh", func(b bench) {
		start := time.Now()
		b.want("at first", "v1")
		b.store.fail(fmt.Errorf("%w: AccessDeniedException", secret.ErrPermanent))
		time.Sleep(past)
		b.want("refused", "v1")
		b.logged("refused", `level=ERROR msg="secret fetch failed permanently" source=awssm:orga cause="refused by the store: AccessDeniedException" retry_in=1s usable_until=2000-01-01T00:10:00Z serving="cached value"`, 1)
		b.store.fail(errOut) // refused is refused, even if nothing is heard any more
		time.Sleep(2*ttl - time.Since(start) - time.Second)
		b.want("before two TTLs are over", "v1")
		time.Sleep(time.Second)
		b.want("after two TTLs", "")
		b.logged("after two TTLs", `serving=nothing`, 1)
		b.store.fail(nil)
		time.Sleep(time.Second)
		b.want("granted again", "v1")
	})
	run(t, "fault 7: an outage longer than the stale limit", func(b bench) {
		start := time.Now()
		b.want("at first", "v1")
		b.store.fail(errOut)
		time.Sleep(past)
		b.want("past the TTL", "v1")
		time.Sleep(24*time.Hour + ttl - time.Since(start) - time.Second)
		b.want("before the limit", "v1")
		time.Sleep(time.Second)
		b.want("after the limit", "")
	})
	run(t, "fault 11: the new version is not usable", func(b bench) {
		b.want("at first", "v1")
		b.store.fail(fmt.Errorf("%w: its JSON has no member %q", secret.ErrMalformed, "apiKey"))
		time.Sleep(past)
		b.want("past the TTL", "v1")
		b.logged("fault 81: past the TTL", `level=ERROR msg="secret fetch failed permanently" source=awssm:orga cause="unusable secret: its JSON has no member \"apiKey\"" retry_in=1s usable_until=2000-01-02T00:05:00Z serving="cached value"`, 1)
		time.Sleep(12 * time.Hour)
		b.want("half a day later", "v1")
	})
	run(t, "fault 3: a source that ignores its context", func(b bench) {
		hung := make(chan struct{})
		defer close(hung) // it answers at last, to nobody
		src := secret.SourceFunc(func(ctx context.Context) (secret.Secret, error) {
			if got, err := b.store.Fetch(ctx); b.store.count() > 1 {
				return got, err
			}
			<-hung
			return secret.Secret{Value: secret.NewValue("key of v0"), Version: "v0"}, nil
		})
		b.Cache = secretcache.New(src, secretcache.Options{Name: "awssm:orga", TTL: ttl, Log: slog.New(slog.NewTextHandler(b.log, nil))})
		start := time.Now()
		all(100, func(int) { b.want("it hangs", "") })
		if err := b.Ready(b.Context()); err == nil {
			b.Error("ready with no cached key")
		}
		if took := time.Since(start); took != 2*time.Second {
			b.Errorf("it took %v, want 2s", took)
		}
		b.fetched("it hangs", 1)
		b.logged("it hangs", `cause="no answer within 2s: context deadline exceeded"`, 1)
		time.Sleep(time.Second)
		b.want("the next fetch", "v1")
		hung <- struct{}{}
		synctest.Wait()
		b.want("the first fetch ended late", "v1")
		b.logged("the first fetch ended late", "secret rotated", 0)
	})
	run(t, "a source that never returns is called only a few times", func(b bench) {
		never := make(chan struct{})
		defer close(never)
		var asked atomic.Int32
		b.Cache = secretcache.New(secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			asked.Add(1)
			<-never
			return secret.Secret{}, errOut
		}), secretcache.Options{Name: "awssm:orga", TTL: ttl})
		for range 50 {
			b.want("it hangs", "")
			time.Sleep(time.Minute)
		}
		if n := asked.Load(); n != 8 {
			b.Errorf("asked %d times", n)
		}
	})
	run(t, "a source that panics after its timeout", func(b bench) {
		src := secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			time.Sleep(time.Minute)
			panic("sk_orga_ai_test")
		})
		b.Cache = secretcache.New(src, secretcache.Options{Name: "awssm:orga", TTL: ttl})
		b.want("it hangs", "")
		time.Sleep(time.Hour)
	})
	run(t, "a panic of a source is an outage without its text", func(b bench) {
		src := secret.SourceFunc(func(context.Context) (secret.Secret, error) { panic("sk_orga_ai_test") })
		c := secretcache.New(src, secretcache.Options{Name: "awssm:orga", TTL: ttl, Log: slog.New(slog.NewTextHandler(b.log, nil))})
		_, err := c.Get(b.Context())
		if _, ok := errors.AsType[*secretcache.FetchError](err); !ok || strings.Contains(err.Error(), "sk_") {
			b.Errorf("the error is %v", err)
		}
		b.logged("the panic", "the call panicked", 1)
		b.logged("its text", "sk_", 0)
	})
}

// Fault 81: a permanent failure is an error immediately, not only when the cached value expires.
func TestCachePermanentFailure(t *testing.T) {
	const refusedUntil, servedUntil = "usable_until=2000-01-01T00:10:00Z", "usable_until=2000-01-02T00:05:00Z"
	for name, tt := range map[string]struct {
		err         error
		permanent   bool
		usableUntil string
	}{
		"denied":             {fmt.Errorf("%w: AccessDeniedException", secret.ErrPermanent), true, refusedUntil},
		"unusable":           {fmt.Errorf("%w: it is empty", secret.ErrMalformed), true, servedUntil},
		"an unreadable file": {fmt.Errorf("%w: no such file", secret.ErrMisconfigured), true, servedUntil},
		"an outage":          {errOut, false, servedUntil},
		"a timeout":          {secret.Unavailable(context.DeadlineExceeded), false, servedUntil},
	} {
		level, other := "level=ERROR msg=\""+"secret fetch failed permanently"+"\" ", "level=WARN"
		if !tt.permanent {
			level, other = "level=WARN msg=\""+"secret fetch failed"+"\" ", "level=ERROR"
		}
		run(t, "with a value cached: "+name, func(b bench) {
			b.want("at first", "v1")
			b.store.fail(tt.err)
			time.Sleep(past)
			b.want("past the TTL", "v1")
			b.logged("past the TTL", level, 1)
			b.logged("past the TTL", other, 0)
			b.logged("past the TTL", tt.usableUntil, 1)
		})
		run(t, "with nothing cached: "+name, func(b bench) {
			b.store.fail(tt.err)
			_, err := b.Get(b.Context())
			failed, ok := errors.AsType[*secretcache.FetchError](err)
			if !ok || failed.Retryable() == tt.permanent || !errors.Is(err, tt.err) {
				b.Errorf("the error is %#v, want one with Retryable() = %t", err, !tt.permanent)
			}
			b.logged("at first", level, 1)
			b.logged("at first", "serving=nothing", 1)
			b.logged("at first", "usable_until", 0)
		})
	}
	run(t, "an outage after a refusal is still an error", func(b bench) {
		b.want("at first", "v1")
		b.store.fail(secret.ErrPermanent)
		time.Sleep(past)
		b.want("refused", "v1")
		b.store.fail(errOut)
		time.Sleep(2 * time.Second)
		b.want("down", "v1")
		b.logged("down", "secret fetch failed permanently", 2)
		b.store.fail(nil)
		time.Sleep(5 * time.Second)
		b.want("granted again", "v1")
		b.store.fail(errOut)
		time.Sleep(past)
		b.want("down again", "v1")
		b.logged("down again", "level=WARN", 1)
	})
}

func TestCacheOnChange(t *testing.T) {
	run(t, "it is called with each version, before callers get it", func(b bench) {
		var changes []secret.Version
		b.Cache = secretcache.New(b.store, secretcache.Options{TTL: ttl, OnChange: func(s secret.Secret) { changes = append(changes, s.Version) }})
		all(100, func(int) { b.want("at first", "v1") })
		time.Sleep(past)
		b.want("past the TTL", "v1")
		b.store.fail(errOut)
		time.Sleep(past)
		b.want("down", "v1")
		b.store.fail(nil)
		b.store.rotate("v2")
		if got, err := b.Refresh(b.Context(), "v1"); err != nil || got.Version != "v2" {
			b.Errorf("version %q, %v", got.Version, err)
		}
		if fmt.Sprint(changes) != "[v1 v2]" {
			b.Errorf("called with %v", changes)
		}
	})
	run(t, "an abandoned fetch changes nothing", func(b bench) {
		src := secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			time.Sleep(time.Minute)
			return secret.Secret{Version: "v1"}, nil
		})
		c := secretcache.New(src, secretcache.Options{OnChange: func(secret.Secret) { b.Error("it was called") }})
		if _, err := c.Get(b.Context()); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("the error is %v", err)
		}
		time.Sleep(time.Hour)
	})
}

// A detached fetch keeps the values of its context: on some platforms, they identify the request to which its I/O belongs.
func TestCacheKeepsContextValues(t *testing.T) {
	type key struct{}
	src := secret.SourceFunc(func(ctx context.Context) (secret.Secret, error) {
		return secret.Secret{Version: secret.Version(fmt.Sprint(ctx.Value(key{})))}, nil
	})
	c := secretcache.New(src, secretcache.Options{})
	if got, err := c.Get(context.WithValue(t.Context(), key{}, "request 7")); err != nil || got.Version != "request 7" {
		t.Errorf("the value is %q, %v", got.Version, err)
	}
}

func TestCacheRefresh(t *testing.T) {
	// refresh checks what a caller with a refused version gets.
	refresh := func(b bench, when string, bad secret.Version, version string) {
		b.Helper()
		got, err := b.Refresh(b.Context(), bad)
		if string(got.Version) != version || (err == nil) != (version != "") {
			b.Errorf("%s: version %q, %v; want %q", when, got.Version, err, version)
		}
	}
	run(t, "fault 9: rotated, 100 callers, one fetch", func(b bench) {
		b.want("at first", "v1")
		b.store.rotate("v2")
		all(100, func(int) { refresh(b, "refused", "v1", "v2") })
		b.fetched("refused", 2)
		b.want("from now on", "v2")
		refresh(b, "a straggler", "v1", "v2")
		b.fetched("from now on", 2)
	})
	run(t, "fault 9: replaced meanwhile by an ordinary refresh", func(b bench) {
		b.want("at first", "v1")
		b.store.rotate("v2")
		time.Sleep(past)
		b.want("past the TTL", "v2")
		refresh(b, "a straggler", "v1", "v2")
		b.fetched("in all", 2)
	})
	run(t, "fault 10: the store still has the same key", func(b bench) {
		b.want("at first", "v1")
		all(100, func(int) { refresh(b, "refused", "v1", "v1") })
		b.fetched("refused", 2)
		time.Sleep(29 * time.Second)
		refresh(b, "29 s later", "v1", "v1")
		b.fetched("29 s later", 2)
		b.store.rotate("v2")
		time.Sleep(time.Second)
		refresh(b, "30 s later", "v1", "v2")
		b.fetched("30 s later", 3)
	})
	run(t, "fault 10: a second rotation within 30 s takes effect after these", func(b bench) {
		b.want("at first", "v1")
		b.store.rotate("v2")
		refresh(b, "the first", "v1", "v2")
		b.store.rotate("v3")
		refresh(b, "the second, at once", "v2", "v2")
		time.Sleep(30 * time.Second)
		refresh(b, "the second, later", "v2", "v3")
	})
	run(t, "a forced refresh that fails is not repeated, and the key stays", func(b bench) {
		b.want("at first", "v1")
		b.store.fail(errOut)
		all(100, func(int) { refresh(b, "refused", "v1", "") })
		refresh(b, "again", "v1", "v1")
		b.fetched("refused", 2)
		b.want("other callers", "v1")
	})
	run(t, "a fetch in flight may have started before the rotation", func(b bench) {
		b.want("at first", "v1")
		time.Sleep(past)
		go b.want("an ordinary caller", "v1")
		synctest.Wait()
		b.store.rotate("v2")
		refresh(b, "refused meanwhile", "v1", "v2")
		b.fetched("in all", 3)
	})
	run(t, "its caller may disconnect", func(b bench) {
		b.want("at first", "v1")
		b.store.rotate("v2")
		ctx, leave := context.WithTimeout(b.Context(), time.Millisecond)
		defer leave()
		if _, err := b.Refresh(ctx, "v1"); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("who left got %v", err)
		}
		time.Sleep(time.Second)
		b.want("the others", "v2")
	})
	run(t, "an expired key is not returned", func(b bench) {
		b.want("at first", "v1")
		b.store.fail(secret.ErrPermanent)
		time.Sleep(past)
		b.want("refused", "v1")
		time.Sleep(ttl)
		if got, err := b.Refresh(b.Context(), "v0"); err == nil {
			b.Errorf("got version %q after two TTLs", got.Version)
		}
	})
	run(t, "without a cached key, it is Get", func(b bench) {
		refresh(b, "no cached key", "", "v1")
		b.fetched("no cached key", 1)
	})
}

func TestCacheReady(t *testing.T) {
	run(t, "with a cached key, it does not fetch", func(b bench) {
		b.want("at first", "v1")
		b.store.fail(errOut)
		time.Sleep(past)
		for range 100 {
			if err := b.Ready(b.Context()); err != nil {
				b.Error(err)
			}
		}
		b.fetched("ready", 1)
	})
	run(t, "without one, it fetches once for all callers", func(b bench) {
		b.store.fail(errOut)
		all(100, func(int) {
			if err := b.Ready(b.Context()); err == nil {
				b.Error("ready with no cached key")
			}
		})
		b.fetched("at once", 1)
		for range 90 {
			_ = b.Ready(b.Context())
			time.Sleep(100 * time.Millisecond)
		}
		b.fetched("within 10 s", 1)
		b.store.fail(nil)
		time.Sleep(2 * time.Second)
		if err := b.Ready(b.Context()); err != nil {
			b.Error(err)
		}
		b.fetched("after 10 s", 2)
	})
	run(t, "after a failure, it waits for a fetch in flight", func(b bench) {
		b.store.fail(errOut)
		b.want("no cached key", "")
		b.store.fail(nil)
		time.Sleep(time.Second)
		go b.want("the store is back", "v1")
		synctest.Wait()
		if err := b.Ready(b.Context()); err != nil {
			b.Error(err)
		}
		b.fetched("in all", 2)
	})
}

func BenchmarkCacheGet(b *testing.B) {
	c := secretcache.New(secret.SourceFunc(func(context.Context) (secret.Secret, error) {
		return secret.Secret{Value: secret.NewValue("sk_orga_ai_test"), Version: "v1"}, nil
	}), secretcache.Options{Name: "env:ORGA_API_KEY", TTL: time.Hour})
	if _, err := c.Get(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.Run("1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = c.Get(ctx)
		}
	})
	for _, n := range []int{2, 4, 8, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			all(n, func(int) {
				for range (b.N + n - 1) / n {
					_, _ = c.Get(ctx)
				}
			})
		})
	}
}
