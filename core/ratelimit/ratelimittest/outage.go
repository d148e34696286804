package ratelimittest

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// Outage is a way for a store to fail during use.
type Outage struct {
	Begin, End func()
	Cause      string // must be in the log's cause
	Secret     string // must not be in the log; "" for nothing
}

// A Store's log messages at the start and the end of an outage.
const (
	storeDown = "rate limit store unavailable"
	storeBack = "rate limit store available again"
)

// scheduling is the delay that a busy machine may add to a decision.
const scheduling = 50 * time.Millisecond

// TestOutage tests how an endpoint uses l while its store fails (faults 29 and 71): each request is decided within 100 ms by
// the instance's own limit, or refused if the endpoint is strict. The store is used again once it is back, and the log has
// one line at the start and one at the end.
func TestOutage(t *testing.T, l ratelimit.Limiter, o Outage) {
	t.Helper()
	log, store := new(safeBuffer), (*throttle.Store)(nil)
	strict := throttle.NewStore(l, throttle.StoreOptions{Strict: true})
	q := quota(3, 10*time.Hour)
	var slowest time.Duration
	ask := func(l *throttle.Store, key string) (allowed bool, err error) {
		start := time.Now()
		decisions, err := l.Allow(t.Context(), []ratelimit.Bucket{{Key: key, Quota: q}})
		slowest = max(slowest, time.Since(start))
		return err == nil && isAllowed(decisions), err
	}
	eventually(t, "the store decides in time", func() bool {
		log = new(safeBuffer)
		store = throttle.NewStore(l, throttle.StoreOptions{Log: slog.New(slog.NewTextHandler(log, nil))})
		_, err := ask(store, "acme:warm")
		return err == nil && log.String() == ""
	})

	o.Begin()
	slowest = 0
	for i := range 100 {
		if allowed, err := ask(store, "acme:ada"); err != nil || allowed != (i < q.N) {
			t.Fatalf("call %d of the outage: allowed %v, %v; want the instance's own limit, from zero", i, allowed, err)
		}
	}
	if _, err := ask(strict, "acme:ada"); err == nil {
		t.Error("a strict store does not fail")
	}
	if slowest > 100*time.Millisecond+scheduling {
		t.Errorf("a decision took %v, want 100 ms at most", slowest)
	}
	if text := log.String(); strings.Count(text, storeDown) != 1 || !strings.Contains(text, o.Cause) || o.Secret != "" && strings.Contains(text, o.Secret) {
		t.Errorf("want one line whose cause has %q: %s", o.Cause, text)
	}

	o.End()
	n := 0
	eventually(t, "the store is used again", func() bool {
		n++
		_, _ = ask(store, fmt.Sprint("acme:probe-", n))
		return strings.Contains(log.String(), storeBack)
	})
	eventually(t, "a strict store decides again", func() bool {
		_, err := ask(strict, "acme:warm")
		return err == nil
	})
	if n := strings.Count(log.String(), storeDown); n != 1 {
		t.Errorf("%d warnings for one outage:\n%s", n, log.String())
	}
}

// eventually waits for something outside of any synctest bubble, for at most 15 s.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("never: " + what)
		}
	}
}

// safeBuffer is a buffer for a logger in another goroutine.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
