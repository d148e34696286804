package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// store is a shared Limiter that can be out, or hang until its context ends.
type store struct {
	*ratelimit.Memory
	asked int
	fault string
}

func (s *store) Allow(ctx context.Context, key string, q ratelimit.Quota) (ratelimit.Decision, error) {
	s.asked++
	switch s.fault {
	case "out":
		return ratelimit.Decision{}, errors.New("out")
	case "hangs":
		<-ctx.Done()
		return ratelimit.Decision{}, ctx.Err()
	}
	return s.Memory.Allow(ctx, key, q)
}

func degraded(t *testing.T) (*store, ratelimit.Limiter, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	shared := &store{Memory: ratelimit.NewMemory()}
	return shared, ratelimit.Fallback(shared, slog.New(slog.NewTextHandler(log, nil))), log
}

func TestDegrade(t *testing.T) {
	q := ratelimit.Quota{N: 2, Per: time.Hour}
	for _, fault := range []string{"out", "hangs"} {
		t.Run("fault 29: "+fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared, l, log := degraded(t)
				allow := func() string {
					t.Helper()
					start := time.Now()
					d, err := l.Allow(t.Context(), "ada", q)
					if took := time.Since(start); err != nil || took > 100*time.Millisecond {
						t.Errorf("decided after %v, %v; want within 100 ms", took, err)
					}
					return map[bool]string{true: "y", false: "n"}[d.Allowed]
				}
				if got := allow() + allow() + allow(); got != "yyn" {
					t.Errorf("%s: the shared limit is not what holds", got)
				}

				shared.fault, shared.asked = fault, 0
				if got := allow() + allow() + allow(); got != "yyn" {
					t.Errorf("%s: the instance's own limit does not count from zero", got)
				}
				if shared.asked != 1 {
					t.Errorf("the store was asked %d times in a moment, want once", shared.asked)
				}
				for range 600 { // a minute
					time.Sleep(100 * time.Millisecond)
					allow()
				}
				if shared.asked < 5 || shared.asked > 12 {
					t.Errorf("the store was asked %d times in a minute, want 1, 2, 4, 8, 10, 10 … s apart", shared.asked)
				}

				shared.fault = ""
				time.Sleep(10 * time.Second)
				if allow() == "y" {
					t.Error("the shared limit is not back within 10 s")
				}
				for _, line := range []string{"level=WARN", "level=INFO"} {
					if n := strings.Count(log.String(), line); n != 1 {
						t.Errorf("%d lines of %s in an outage, want 1:\n%s", n, line, log)
					}
				}
			})
		})
	}

	t.Run("each outage counts from zero", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shared, l, _ := degraded(t)
			allow := func() string {
				d, _ := l.Allow(t.Context(), "ada", q)
				return map[bool]string{true: "y", false: "n"}[d.Allowed]
			}
			for outage := range 3 {
				shared.fault = "out"
				if got := allow() + allow() + allow(); got != "yyn" {
					t.Errorf("outage %d: %s, want yyn", outage, got)
				}
				shared.fault = ""
				time.Sleep(10 * time.Second)
				allow() // finds that it is back
			}
		})
	})

	t.Run("one request pays, and one tries again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shared, l, _ := degraded(t)
			shared.fault = "hangs"
			_, _ = l.Allow(t.Context(), "ada", q)
			time.Sleep(time.Second)
			shared.asked = 0
			start := time.Now()
			done := make(chan time.Duration, 50)
			for range 50 {
				go func() {
					_, _ = l.Allow(t.Context(), "ada", q)
					done <- time.Since(start)
				}()
			}
			waited := 0
			for range 50 {
				if <-done > 0 {
					waited++
				}
			}
			if shared.asked != 1 || waited != 1 {
				t.Errorf("of 50 requests %d asked and %d waited, want 1 and 1", shared.asked, waited)
			}
		})
	})

	t.Run("a caller who leaves is no outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shared, l, log := degraded(t)
			shared.fault = "hangs"
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, _ = l.Allow(ctx, "ada", q)
			shared.fault, shared.asked = "", 0
			if _, _ = l.Allow(t.Context(), "ada", q); shared.asked != 1 || log.Len() > 0 {
				t.Errorf("the store was asked %d times, and the log says %q", shared.asked, log)
			}
		})
	})
}
