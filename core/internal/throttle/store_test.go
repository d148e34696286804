package throttle_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// Fault 78: a refused caller is answered from memory until its Retry-After, then the store is asked again. Other callers
// are unaffected, and nothing is remembered of allowed requests.
func TestFault78RefusalsAreRemembered(t *testing.T) {
	for _, strict := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			shared := &store{Memory: throttle.NewMemory()}
			l := throttle.NewStore(shared, throttle.StoreOptions{Strict: strict})
			buckets := []ratelimit.Bucket{
				{Key: "acme:ada", Quota: ratelimit.Quota{N: 2, Per: 20 * time.Second}},
				{Key: "acme:ada", Quota: ratelimit.Quota{N: 9, Per: time.Hour}},
				{Key: "acme:", Quota: ratelimit.Quota{N: 100, Per: time.Hour}},
			}
			ask := func() []ratelimit.Decision {
				decisions, err := l.Allow(t.Context(), buckets)
				if err != nil {
					t.Fatal(err)
				}
				return decisions
			}
			ask()
			ask()
			shared.asked = 0
			for i := range 1000 {
				time.Sleep(5 * time.Millisecond)
				d := ask()
				want := 10*time.Second - time.Duration(i+1)*5*time.Millisecond
				if d[0].Allowed || d[0].Retry != want || d[0].Reset != want+10*time.Second || d[0].Remaining != 0 || !d[1].Allowed || !d[2].Allowed {
					t.Fatalf("call %d: %+v, want Retry %v and Reset 10 s later", i, d, want)
				}
			}
			if shared.asked != 1 {
				t.Errorf("a refused caller asked 1,000 times, and the store was asked %d times, want once", shared.asked)
			}
			if d, err := one(l, "acme:bob", buckets[0].Quota); err != nil || !d.Allowed || shared.asked != 2 {
				t.Errorf("another caller: %+v, %v; asked %d times", d, err, shared.asked)
			}
			time.Sleep(5 * time.Second) // when Retry-After is over
			if d := ask(); !d[0].Allowed || d[0].Remaining != 0 || d[2].Remaining != 97 || shared.asked != 3 {
				t.Errorf("after its time: %+v; asked %d times, want 3", d, shared.asked)
			}
			shared.asked = 0
			for range 10 {
				for _, caller := range []string{"acme:eve", "acme:joe"} {
					_, _ = one(l, caller, ratelimit.Quota{N: 1, Per: time.Hour})
				}
			}
			if shared.asked != 4 {
				t.Errorf("two callers of one request: asked %d times, want 4", shared.asked)
			}
		})
	}
}

// A used-up budget is remembered for all callers of the tenant.
func TestFault78BudgetIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &store{Memory: throttle.NewMemory()}
		l := throttle.NewStore(shared, throttle.StoreOptions{})
		for i := range 100 {
			caller := "acme:" + strconv.Itoa(i)
			d, err := l.Allow(t.Context(), []ratelimit.Bucket{
				{Key: caller, Quota: ratelimit.Quota{N: 1, Per: time.Hour}}, {Key: "acme:", Quota: ratelimit.Quota{N: 5, Per: time.Hour}},
			})
			if err != nil || d[1].Allowed != (i < 5) {
				t.Errorf("call %d: %+v, %v", i, d, err)
			}
		}
		if shared.asked != 6 {
			t.Errorf("the store was asked %d times, want 6", shared.asked)
		}
	})

	t.Run("its answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := throttle.Middleware(throttle.Options{
				Limiter: throttle.NewStore(throttle.NewMemory(), throttle.StoreOptions{}),
				Caller:  ratelimit.Quotas{{N: 9, Per: time.Minute}}, Budget: ratelimit.Quotas{{N: 1, Per: time.Hour}},
			})(new(requesttest.Minted))
			for i, want := range []string{`"caller";r=8;t=7, "tenant";r=0;t=3600`, `"caller";r=8;t=7, "tenant";r=0;t=3600`, `"tenant";r=0;t=3600`} {
				if w := requesttest.Serve(h, requesttest.New()); w.Header().Get("RateLimit") != want {
					t.Errorf("answer %d: RateLimit %s, want %s", i, w.Header().Get("RateLimit"), want)
				}
			}
		})
	})
}

func TestRefusalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := throttle.NewStore(refusing{}, throttle.StoreOptions{})
		before := requesttest.Heap()
		for i := range 200_000 {
			_, _ = one(l, strconv.Itoa(i), ratelimit.Quota{N: 1, Per: time.Hour})
		}
		if grown := int64(requesttest.Heap()) - int64(before); grown > 5<<20 {
			t.Errorf("refusals of 200,000 callers take %d MB", grown>>20)
		}
		runtime.KeepAlive(l)
	})
}

// refusing is a Limiter that refuses everything.
type refusing struct{}

func (refusing) Allow(_ context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	decisions := make([]ratelimit.Decision, len(buckets))
	for i := range decisions {
		decisions[i].Retry = time.Minute
	}
	return decisions, nil
}

// store is a shared Limiter that can be down, or hang until its context ends.
type store struct {
	*throttle.Memory
	asked int
	fault string
}

func (s *store) Allow(ctx context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	s.asked++
	switch s.fault {
	case "out":
		return nil, errors.New("out")
	case "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Memory.Allow(ctx, buckets)
}

func fallible(t *testing.T) (*store, *throttle.Store, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	shared := &store{Memory: throttle.NewMemory()}
	return shared, throttle.NewStore(shared, throttle.StoreOptions{Log: slog.New(slog.NewTextHandler(log, nil))}), log
}

func TestFallback(t *testing.T) {
	q := ratelimit.Quota{N: 2, Per: time.Hour}
	for _, fault := range []string{"out", "hangs"} {
		t.Run("fault 29: "+fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared, l, log := fallible(t)
				allow := func() string {
					t.Helper()
					start := time.Now()
					d, err := one(l, "ada", q)
					if took := time.Since(start); err != nil || took > 100*time.Millisecond {
						t.Errorf("decided after %v, %v; want within 100 ms", took, err)
					}
					return map[bool]string{true: "y", false: "n"}[d.Allowed]
				}
				if got := allow() + allow() + allow(); got != "yyn" {
					t.Errorf("%s: the shared limit is not what holds", got)
				}

				shared.fault, shared.asked = fault, 0
				if allow() == "y" || shared.asked != 0 { // fault 78
					t.Errorf("a refusal is not remembered: the store was asked %d times", shared.asked)
				}
				_, _ = one(l, "bob", q) // finds out
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
				for _, text := range []string{`meanwhile="this instance counts alone"`, "down_for=1m"} {
					if !strings.Contains(log.String(), text) {
						t.Errorf("the log lacks %s:\n%s", text, log)
					}
				}
				for _, line := range []string{"level=WARN", "level=INFO"} {
					if n := strings.Count(log.String(), line); n != 1 {
						t.Errorf("%d lines of %s in an outage, want 1:\n%s", n, line, log)
					}
				}
			})
		})
	}

	t.Run("outages share one count", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shared, l, _ := fallible(t)
			allow := func() string {
				d, _ := one(l, "ada", q)
				return map[bool]string{true: "y", false: "n"}[d.Allowed]
			}
			for outage, want := range []string{"yyn", "nnn", "nnn", "yyn"} {
				if outage == 3 {
					time.Sleep(q.Per)
				}
				shared.fault = "out"
				if got := allow() + allow() + allow(); got != want {
					t.Errorf("outage %d: %s, want %s", outage, got, want)
				}
				shared.fault = ""
				time.Sleep(10 * time.Second)
				allow() // finds that it is back
			}
		})
	})

	t.Run("one request waits, and one probes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shared, l, _ := fallible(t)
			shared.fault = "hangs"
			_, _ = one(l, "ada", q)
			time.Sleep(time.Second)
			shared.asked = 0
			start := time.Now()
			done := make(chan time.Duration, 50)
			for range 50 {
				go func() {
					_, _ = one(l, "ada", q)
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

	t.Run("a strict store asks each time", func(t *testing.T) {
		log := new(bytes.Buffer)
		shared := &store{Memory: throttle.NewMemory()}
		l := throttle.NewStore(shared, throttle.StoreOptions{Strict: true, Log: slog.New(slog.NewTextHandler(log, nil))})
		for outage := 1; outage <= 2; outage++ {
			shared.fault, shared.asked = "out", 0
			for range 3 {
				if _, err := one(l, "ada", q); err == nil {
					t.Error("a request is decided without the store")
				}
			}
			shared.fault = ""
			if _, err := one(l, "bob"+strconv.Itoa(outage), q); err != nil || shared.asked != 4 {
				t.Errorf("%v; the store was asked %d times, want 4", err, shared.asked)
			}
			if n := strings.Count(log.String(), `meanwhile="every mint is refused"`); n != outage || strings.Count(log.String(), "level=INFO") != outage {
				t.Errorf("outage %d:\n%s", outage, log)
			}
		}
	})

	t.Run("the request's line says so", func(t *testing.T) {
		for fault, want := range map[string]bool{"": false, "out": true} {
			h := throttle.Middleware(throttle.Options{
				Limiter: throttle.NewStore(&store{Memory: throttle.NewMemory(), fault: fault}, throttle.StoreOptions{}), Caller: ratelimit.Quotas{q},
			})(new(requesttest.Minted))
			var line bytes.Buffer
			request.Handler(h, slog.New(slog.NewTextHandler(&line, nil))).ServeHTTP(httptest.NewRecorder(), requesttest.New())
			if strings.Contains(line.String(), "limit_fallback=true") != want {
				t.Errorf("store %q: %s", fault, &line)
			}
		}
	})

	t.Run("without a log", func(t *testing.T) {
		l := throttle.NewStore(&store{fault: "out"}, throttle.StoreOptions{})
		if _, err := one(l, "ada", q); err != nil {
			t.Error(err)
		}
	})

	t.Run("a disconnected caller is not an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shared, l, log := fallible(t)
			shared.fault = "hangs"
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := l.Allow(ctx, []ratelimit.Bucket{{Key: "ada", Quota: q}}); err == nil {
				t.Error("the instance counts it alone")
			}
			shared.fault, shared.asked = "", 0
			if _, _ = one(l, "ada", q); shared.asked != 1 || log.Len() > 0 {
				t.Errorf("the store was asked %d times, and the log says %q", shared.asked, log)
			}
		})
	})
}
