package ratelimittest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// Harness gives the suite access to the limiter under test. Parts other than Open are optional; without one, its cases are not tested.
type Harness struct {
	// Open opens another limiter with the same counts, like another instance.
	Open func(t *testing.T) ratelimit.Limiter
	// SetBack changes a bucket's stored state as if the clock had been set back by d since.
	SetBack func(t *testing.T, b ratelimit.Bucket, d time.Duration)
	// Setting opens the same counts in another process, whose TestMain calls [Main].
	Setting string
}

// Test runs the conformance suite. It takes less than ten seconds, to let a few quotas recover.
func Test(t *testing.T, h Harness) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { h.run(t, c.test) })
	}
	if h.SetBack != nil {
		t.Run("a clock that was set back costs one period at most", func(t *testing.T) { h.run(t, h.setBack) })
	}
	if h.Setting != "" {
		t.Run("faults 28 and 70: eight processes share one limit", h.processes)
	}
}

var cases = []struct {
	name string
	test func(*run)
}{
	{"a burst, then refusals", func(r *run) {
		q := quota(3, time.Hour)
		for i := range 5 {
			d := r.ask(r.bucket("ada", q))[0]
			want := ratelimit.Decision{Allowed: i < 3, Remaining: max(0, 2-i)}
			if d.Allowed != want.Allowed || d.Remaining != want.Remaining {
				r.errorf("call %d: %+v, want %+v", i, d, want)
			}
			if reset := time.Duration(min(i+1, 3)) * 20 * time.Minute; d.Reset > reset || d.Reset < reset-time.Minute {
				r.errorf("call %d: Reset %v, want about %v", i, d.Reset, reset)
			}
			if d.Allowed && d.Retry != 0 || !d.Allowed && (d.Retry > 20*time.Minute || d.Retry < 19*time.Minute) {
				r.errorf("call %d: Retry %v, want about 20 min for a refusal, else none", i, d.Retry)
			}
		}
	}},
	{"what comes back when", func(r *run) {
		q := quota(2, 2*time.Second)
		r.ask(r.bucket("ada", q))
		r.ask(r.bucket("ada", q))
		d := r.ask(r.bucket("ada", q))[0]
		if d.Allowed || d.Retry > time.Second {
			r.errorf("%+v, want a refusal that ends within a second", d)
		}
		r.wait(d.Retry)
		if d := r.ask(r.bucket("ada", q))[0]; !d.Allowed || d.Remaining != 0 {
			r.errorf("after its Retry: %+v", d)
		}
		if d := r.ask(r.bucket("ada", q))[0]; d.Allowed {
			r.errorf("more than one has come back: %+v", d)
		}
		r.wait(2 * time.Second)
		if d := r.ask(r.bucket("ada", q))[0]; !d.Allowed || d.Remaining != 1 {
			r.errorf("after a whole period: %+v", d)
		}
	}},
	{"an idle quota does not grow", func(r *run) {
		q := quota(2, 20*time.Millisecond)
		r.ask(r.bucket("ada", q))
		r.wait(200 * time.Millisecond)
		if d := r.ask(r.bucket("ada", q))[0]; !d.Allowed || d.Remaining > 1 {
			r.errorf("%+v, want one remaining", d)
		}
	}},
	{"callers, tenants and quotas count apart", func(r *run) {
		q := quota(1, time.Hour)
		for _, b := range []ratelimit.Bucket{
			r.bucket("ada", q), r.bucket("bob", q), {Key: "other:" + r.name("ada"), Quota: q}, {Key: ":" + r.name("ada"), Quota: q},
			{Key: r.name("budget") + ":", Quota: q}, r.bucket("ada", quota(1, time.Minute)), r.bucket("ada", quota(2, time.Hour)),
		} {
			if d := r.ask(b)[0]; !d.Allowed {
				r.errorf("%v: %+v", b, d)
			}
		}
		if d := r.ask(r.bucket("ada", q))[0]; d.Allowed {
			r.errorf("a quota is whole again: %+v", d)
		}
	}},
	{"fault 68: each window must have room, and a refused request uses up none", func(r *run) {
		short, long := r.bucket("ada", quota(2, time.Minute)), r.bucket("ada", quota(3, time.Hour))
		for i, want := range []string{"yy 12", "yy 01", "ny 01", "ny 01"} {
			if got := outcome(r.ask(short, long)); got != want {
				r.errorf("call %d: %s, want %s", i, got, want)
			}
		}
		if got := outcome(r.ask(long)); got != "y 0" {
			r.errorf("the long window alone: %s, want y 0: refused requests have used it", got)
		}
		if got := outcome(r.ask(short, long)); got != "nn 00" {
			r.errorf("both used up: %s", got)
		}
		other := r.bucket("bob", quota(2, time.Minute))
		if got := outcome(r.ask(other, r.bucket("bob", quota(1, time.Hour)))); got != "yy 10" {
			r.errorf("another caller: %s", got)
		}
		if got := outcome(r.ask(other, r.bucket("bob", quota(1, time.Hour)))); got != "yn 10" {
			r.errorf("the long window refuses: %s, want yn 10", got)
		}
		if got := outcome(r.ask(other)); got != "y 0" {
			r.errorf("the short window: %s, want y 0: refused requests have used it", got)
		}
	}},
	{"fault 69: a tenant's budget holds for all of its callers, and a refused request uses up nothing", func(r *run) {
		q, budget := quota(3, time.Hour), ratelimit.Bucket{Key: r.name("acme") + ":", Quota: quota(5, 24*time.Hour)}
		caller := func(name string) ratelimit.Bucket { return ratelimit.Bucket{Key: budget.Key + name, Quota: q} }
		for i, step := range []struct{ caller, want string }{
			{"ada", "yy 24"}, {"ada", "yy 13"}, {"ada", "yy 02"}, {"ada", "n"}, {"ada", "n"}, {"bob", "yy 21"}, {"bob", "yy 10"},
			{"bob", "yn 10"}, {"bob", "yn 10"}, {"eve", "yn 30"},
		} {
			got := outcome(r.ask(caller(step.caller), budget))
			if !strings.HasPrefix(got, step.want) {
				r.errorf("call %d, of %s: %s, want %s", i, step.caller, got, step.want)
			}
		}
		if got := outcome(r.ask(caller("bob"))); got != "y 0" {
			r.errorf("bob alone: %s, want y 0: requests that the budget refused have used it", got)
		}
		if got := outcome(r.ask(caller("ada"), ratelimit.Bucket{Key: r.name("other") + ":", Quota: budget.Quota})); !strings.HasPrefix(got, "n") {
			r.errorf("ada is let through: %s", got)
		}
	}},
	{"long periods and large counts do not overflow", func(r *run) {
		const year = 366 * 24 * time.Hour
		for _, q := range []ratelimit.Quota{quota(1, year), quota(2, year), quota(1<<31-1, year), quota(1<<20, 2*time.Second), quota(1, time.Millisecond)} {
			for i := range 3 {
				d := r.ask(r.bucket("ada", q))[0]
				if q.Per > time.Minute && d.Allowed != (i < q.N) || d.Retry < 0 || d.Retry > q.Per || d.Reset < 0 || d.Reset > q.Per || d.Remaining < 0 || d.Remaining >= q.N {
					r.errorf("%v, call %d: %+v", q, i, d)
				}
			}
		}
	}},
	{"200 at once, several windows and a budget: exactly 50", func(r *run) {
		windows := ratelimit.Quotas{quota(20, time.Hour), quota(30, 24*time.Hour)}
		budget := ratelimit.Bucket{Key: r.name("acme") + ":", Quota: quota(50, 48*time.Hour)}
		var wg sync.WaitGroup
		var mu sync.Mutex
		allowed := make(map[int]int)
		for i := range 200 {
			wg.Go(func() {
				caller := budget.Key + strconv.Itoa(i%4)
				decisions := r.ask(ratelimit.Bucket{Key: caller, Quota: windows[0]}, ratelimit.Bucket{Key: caller, Quota: windows[1]}, budget)
				mu.Lock()
				defer mu.Unlock()
				if isAllowed(decisions) {
					allowed[i%4]++
				}
			})
		}
		wg.Wait()
		total := 0
		for caller, n := range allowed {
			total += n
			if n > 20 {
				r.errorf("caller %d: %d allowed, want 20 at most", caller, n)
			}
		}
		if total != 50 {
			r.errorf("%d of 200 allowed, want 50", total)
		}
	}},
	{"two instances share one limit", func(r *run) {
		q := quota(4, time.Hour)
		other := r.h.Open(r.t)
		for i := range 6 {
			l := r.l
			if i%2 == 1 {
				l = other
			}
			if d := r.askOf(l, r.bucket("ada", q))[0]; d.Allowed != (i < 4) || d.Remaining != max(0, 3-i) {
				r.errorf("call %d: %+v", i, d)
			}
		}
	}},
	{"a caller who left is not waited for", func(r *run) {
		ctx, cancel := context.WithCancel(r.t.Context())
		cancel()
		start := time.Now()
		_, err := r.l.Allow(ctx, []ratelimit.Bucket{{Key: r.name("acme:ada"), Quota: quota(1, time.Hour)}})
		if took := time.Since(start); took > time.Second {
			r.errorf("%v after %v", err, took)
		}
	}},
}

func (h Harness) setBack(r *run) {
	short, long := r.bucket("ada", quota(2, time.Second)), r.bucket("ada", quota(100, time.Hour))
	r.ask(short, long)
	r.ask(short, long)
	if r.undecided {
		return
	}
	const back = 48 * time.Hour
	h.SetBack(r.t, short, back)
	h.SetBack(r.t, long, back)
	d := r.ask(short, long)
	if d[0].Allowed || d[1].Allowed || d[0].Retry > time.Second/2 || d[1].Retry > 36*time.Second || d[1].Reset > time.Hour {
		r.errorf("at once: %+v, want refusals that end after a share of the period", d)
	}
	r.wait(d[0].Retry)
	if d := r.ask(short); !d[0].Allowed {
		r.errorf("after its Retry: %+v", d)
	}
}

// quota abbreviates a literal.
func quota(n int, per time.Duration) ratelimit.Quota { return ratelimit.Quota{N: n, Per: per} }

// run is one attempt at a case. If another program keeps the store from answering in time, the result proves nothing, so the
// run is repeated with new names.
type run struct {
	t  *testing.T
	h  Harness
	l  ratelimit.Limiter
	id string

	mu        sync.Mutex
	undecided bool
	faults    []string
}

func (h Harness) run(t *testing.T, test func(*run)) {
	t.Helper()
	l := h.Open(t)
	for range attempts {
		r := &run{t: t, h: h, l: l, id: rand.Text()}
		test(r)
		if r.undecided {
			continue
		}
		for _, fault := range r.faults {
			t.Error(fault)
		}
		return
	}
	t.Errorf("a request was not decided in time in each of %d runs", attempts)
}

const attempts = 5

func (r *run) errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// name returns a name unique to this run.
func (r *run) name(s string) string { return s + r.id }

// bucket returns a bucket of a caller whose name is unique to this run.
func (r *run) bucket(caller string, q ratelimit.Quota) ratelimit.Bucket {
	return ratelimit.Bucket{Key: "acme:" + r.name(caller), Quota: q}
}

func (r *run) ask(buckets ...ratelimit.Bucket) []ratelimit.Decision { return r.askOf(r.l, buckets...) }

func (r *run) askOf(l ratelimit.Limiter, buckets ...ratelimit.Bucket) []ratelimit.Decision {
	decisions, err := l.Allow(r.t.Context(), buckets)
	switch {
	case err != nil:
		r.mu.Lock()
		r.undecided = true
		r.mu.Unlock()
	case len(decisions) != len(buckets):
		r.errorf("%d decisions for %d buckets", len(decisions), len(buckets))
	default:
		return decisions
	}
	return make([]ratelimit.Decision, len(buckets))
}

// wait waits in real time, because the store has its own clock.
func (r *run) wait(d time.Duration) {
	select {
	case <-time.After(d + 20*time.Millisecond):
	case <-r.t.Context().Done():
	}
}

func isAllowed(decisions []ratelimit.Decision) bool {
	for _, d := range decisions {
		if !d.Allowed {
			return false
		}
	}
	return true
}

// outcome abbreviates a decision: y or n for each bucket, and its remaining requests; ? if it was not asked.
func outcome(decisions []ratelimit.Decision) string {
	var allowed, remaining strings.Builder
	for _, d := range decisions {
		switch {
		case d.Remaining < 0:
			allowed.WriteByte('?')
		case d.Allowed:
			allowed.WriteByte('y')
		default:
			allowed.WriteByte('n')
		}
		fmt.Fprint(&remaining, max(0, d.Remaining))
	}
	return allowed.String() + " " + remaining.String()
}
