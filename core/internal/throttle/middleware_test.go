package throttle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// one decides one bucket.
func one(l ratelimit.Limiter, key string, q ratelimit.Quota) (ratelimit.Decision, error) {
	decisions, err := l.Allow(context.Background(), []ratelimit.Bucket{{Key: key, Quota: q}})
	if err != nil {
		return ratelimit.Decision{}, err
	}
	return decisions[0], nil
}

func TestLimitAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(requesttest.Minted)
		h := throttle.Middleware(throttle.Options{Limiter: throttle.NewMemory(), Caller: ratelimit.Quotas{{N: 3, Per: 30 * time.Second}}})(m)
		for _, want := range []struct {
			status                 int
			limit, retry, contains string
		}{
			{200, `"caller";r=2;t=10`, "", ""},
			{200, `"caller";r=1;t=20`, "", ""},
			{200, `"caller";r=0;t=30`, "", ""},
			{429, `"caller";r=0;t=10`, "10", "Retry in 10 seconds."},
			{429, `"caller";r=0;t=10`, "10", "rate_limited"},
		} {
			w := requesttest.Serve(h, requesttest.New())
			if w.Code != want.status || w.Header().Get("RateLimit") != want.limit || w.Header().Get("Retry-After") != want.retry {
				t.Errorf("%d, RateLimit %s, Retry-After %q; want %+v", w.Code, w.Header().Get("RateLimit"), w.Header().Get("Retry-After"), want)
			}
			if got := w.Header().Get("RateLimit-Policy"); got != `"caller";q=3;w=30` {
				t.Errorf("RateLimit-Policy %s", got)
			}
			if !strings.Contains(w.Body.String(), want.contains) {
				t.Errorf("%s lacks %s", w.Body, want.contains)
			}
		}
		if m.N != 3 {
			t.Errorf("fault 33: minted %d times, want 3", m.N)
		}
		time.Sleep(9*time.Second + 100*time.Millisecond)
		if w := requesttest.Serve(h, requesttest.New()); w.Header().Get("Retry-After") != "1" {
			t.Errorf("900 ms before the next: Retry-After %q, want 1: whole seconds, rounded up", w.Header().Get("Retry-After"))
		}
		time.Sleep(900 * time.Millisecond)
		if w := requesttest.Serve(h, requesttest.New()); w.Code != 200 {
			t.Errorf("after the time that Retry-After said: %d", w.Code)
		}
	})
}

func TestNoQuotaIsNoLimit(t *testing.T) {
	m := new(requesttest.Minted)
	h := throttle.Middleware(throttle.Options{Limiter: broken{}, Caller: ratelimit.Off})(m)
	if w := requesttest.Serve(h, requesttest.New()); m.N != 1 || w.Header().Get("RateLimit") != "" {
		t.Errorf("minted %d times, RateLimit %q", m.N, w.Header().Get("RateLimit"))
	}
	if h != http.Handler(m) {
		t.Error("it costs something")
	}
}

// broken is a Limiter whose store is down.
type broken struct{}

func (broken) Allow(context.Context, []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	return nil, errors.New("out")
}

func TestLimiterFailure(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for _, tt := range []struct {
		ctx         context.Context
		code, retry string
	}{
		{t.Context(), "limiter_unavailable", "1"},
		{expired, "timeout", ""},
		{canceled, "client_gone", ""},
	} {
		m := new(requesttest.Minted)
		h := throttle.Middleware(throttle.Options{Limiter: broken{}, Caller: ratelimit.Quotas{{N: 1, Per: time.Second}}})(m)
		w := requesttest.Serve(h, requesttest.New().WithContext(tt.ctx))
		if code := requesttest.Code(t, w); code != tt.code || w.Header().Get("Retry-After") != tt.retry || m.N != 0 {
			t.Errorf("code %q, want %q; Retry-After %q, minted %d times", code, tt.code, w.Header().Get("Retry-After"), m.N)
		}
	}
}

// fixed is a Limiter that always decides the same.
type fixed []ratelimit.Decision

func (f fixed) Allow(context.Context, []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	return f, nil
}

// A refusal is one even if the limiter names no time after which to retry.
func TestRefusalWithoutRetry(t *testing.T) {
	var log bytes.Buffer
	m := new(requesttest.Minted)
	h := throttle.Middleware(throttle.Options{
		Limiter: fixed{{Allowed: true, Remaining: 25, Reset: 10 * time.Second}, {}},
		Caller:  ratelimit.Quotas{{N: 30, Per: time.Minute}, {N: 500, Per: time.Hour}},
	})(m)
	w := requesttest.Serve(request.Handler(h, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))), requesttest.New())
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || m.N != 0 {
		t.Errorf("%d, Retry-After %q, minted %d times", w.Code, w.Header().Get("Retry-After"), m.N)
	}
	if got := w.Header().Get("RateLimit"); got != `"caller";r=25;t=1, "caller-3600";r=0;t=0` {
		t.Errorf("RateLimit %s", got)
	}
	if !strings.Contains(log.String(), `level=DEBUG msg="limit checked" `) || !strings.Contains(log.String(), ` allowed=false limit=caller-3600`) {
		t.Errorf("the log is %s", &log)
	}
}

// verified replaces authentication: it records the caller named by the test.
func verified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request.From(r.Context()).Caller = r.Header.Get("Test-Caller")
		next.ServeHTTP(w, r)
	})
}

func TestCallersCountedAsOne(t *testing.T) {
	from := func(addr string, headers ...string) *http.Request {
		r := requesttest.New(headers...)
		r.RemoteAddr = addr
		return r
	}
	as := func(caller, addr string) *http.Request { return from(addr, "Test-Caller", caller) }
	for _, tt := range []struct {
		name string
		a, b *http.Request
		one  bool
	}{
		{"one address, two ports", from("192.0.2.1:1"), from("192.0.2.1:2"), true},
		{"two addresses", from("192.0.2.1:1"), from("192.0.2.2:1"), false},
		{"fault 31: one /64", from("[2001:db8:1:2::1]:1"), from("[2001:db8:1:2:ffff::2]:1"), true},
		{"fault 31: two /64", from("[2001:db8:1:2::1]:1"), from("[2001:db8:1:3::1]:1"), false},
		{"fault 31: IPv4 in IPv6", from("[::ffff:192.0.2.1]:1"), from("192.0.2.1:1"), true},
		{"two IPv4 in IPv6", from("[::ffff:192.0.2.1]:1"), from("[::ffff:192.0.2.2]:1"), false},
		{"a zone", from("[fe80::1%eth0]:1"), from("[fe80::1%eth1]:1"), true},
		{"unknown addresses", from(""), from("@"), true},
		{"unknown and known", from(""), from("192.0.2.1:1"), false},
		{"fault 30: forged headers", from("192.0.2.1:1", "X-Forwarded-For", "1.1.1.1"), from("192.0.2.1:1", "X-Real-Ip", "2.2.2.2", "Forwarded", "for=3.3.3.3"), true},
		{"fault 24: a tenant's header", from("192.0.2.1:1", "X-Tenant", "a"), from("192.0.2.1:1", "X-Tenant", "b"), true},
		{"a subject at two addresses", as("ada", "192.0.2.1:1"), as("ada", "192.0.2.2:1"), true},
		{"two subjects at one address", as("ada", "192.0.2.1:1"), as("bob", "192.0.2.1:1"), false},
		{"no subject: by address", as("", "192.0.2.1:1"), from("192.0.2.1:1"), true},
		{"a subject that looks like an address", as("192.0.2.1", "198.51.100.1:1"), from("192.0.2.1:1"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := verified(throttle.Middleware(throttle.Options{Limiter: throttle.NewMemory(), Caller: ratelimit.Quotas{{N: 1, Per: time.Hour}}})(new(requesttest.Minted)))
			if w := requesttest.Serve(h, tt.a); w.Code != 200 {
				t.Fatalf("the first: %d", w.Code)
			}
			if w := requesttest.Serve(h, tt.b); (w.Code == 429) != tt.one {
				t.Errorf("the second: %d, want one caller: %v", w.Code, tt.one)
			}
		})
	}
}

func TestTenantsAreIndependent(t *testing.T) {
	l, q := throttle.NewMemory(), ratelimit.Quota{N: 1, Per: time.Hour}
	for _, tenant := range []string{"", "acme", "other"} {
		h := throttle.Middleware(throttle.Options{Limiter: l, Caller: ratelimit.Quotas{q}, Tenant: tenant})(new(requesttest.Minted))
		if w := requesttest.Serve(h, requesttest.New()); w.Code != 200 {
			t.Errorf("tenant %q: %d", tenant, w.Code)
		}
	}
}

func TestLimiterKeysAreAnonymous(t *testing.T) {
	var keys recorder
	h := verified(throttle.Middleware(throttle.Options{Limiter: &keys, Caller: ratelimit.Quotas{{N: 1, Per: time.Hour}}, Tenant: "acme"})(new(requesttest.Minted)))
	r := requesttest.New("Test-Caller", "5f")
	r.RemoteAddr = "192.0.2.77:1"
	requesttest.Serve(h, r)
	requesttest.Serve(throttle.Middleware(throttle.Options{Limiter: &keys, Caller: ratelimit.Quotas{{N: 1, Per: time.Hour}}, Tenant: "acme"})(new(requesttest.Minted)), r)
	if len(keys) != 2 || keys[0] == keys[1] {
		t.Fatalf("keys %q", keys)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "acme:") || strings.Contains(key, "192.0.2") {
			t.Errorf("key %q", key)
		}
	}
}

// recorder is a Limiter that allows everything and records the keys.
type recorder []string

func (r *recorder) Allow(_ context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	*r = append(*r, buckets[0].Key)
	return []ratelimit.Decision{{Allowed: true}}, nil
}

func TestManyForgedAddressesAreOneBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := throttle.NewMemory()
		q := ratelimit.Quota{N: 5, Per: time.Minute}
		for name, make := range map[string]func(i int) *http.Request{
			"fault 30: 1,000 forged X-Forwarded-For": func(i int) *http.Request {
				r := requesttest.New("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", i/256, i%256))
				r.RemoteAddr = "192.0.2.1:1234"
				return r
			},
			"fault 30: 1,000 forged entries before the platform's": func(i int) *http.Request {
				r := requesttest.New("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d, 192.0.2.2", i/256, i%256))
				r.RemoteAddr = netip.AddrPortFrom(platform.ForwardedAddr(r.Header, 0), 0).String()
				return r
			},
			"fault 31: 1,000 addresses of one /64": func(i int) *http.Request {
				r := requesttest.New()
				r.RemoteAddr = fmt.Sprintf("[2001:db8::%x]:1", i)
				return r
			},
		} {
			m := new(requesttest.Minted)
			h := throttle.Middleware(throttle.Options{Limiter: l, Caller: ratelimit.Quotas{q}})(m)
			for i := range 1000 {
				requesttest.Serve(h, make(i))
			}
			if m.N != q.N {
				t.Errorf("%s: minted %d times, want %d", name, m.N, q.N)
			}
		}
	})
}

func TestMemory(t *testing.T) {
	type step struct {
		after time.Duration
		allow bool
		left  int
	}
	for _, tt := range []struct {
		name  string
		q     ratelimit.Quota
		steps []step
	}{
		{"a burst, then its share of the period each", ratelimit.Quota{N: 2, Per: 10 * time.Second}, []step{
			{0, true, 1}, {0, true, 0}, {0, false, 0}, {4999 * time.Millisecond, false, 0}, {time.Millisecond, true, 0}, {0, false, 0}, {10 * time.Second, true, 1},
		}},
		{"section 7: a burst of two passes a quota of two", ratelimit.Quota{N: 2, Per: time.Minute}, []step{{0, true, 1}, {200 * time.Millisecond, true, 0}}},
		{"one", ratelimit.Quota{N: 1, Per: time.Second}, []step{{0, true, 0}, {999 * time.Millisecond, false, 0}, {time.Millisecond, true, 0}}},
		{"a share that does not divide", ratelimit.Quota{N: 3, Per: 10 * time.Microsecond}, []step{{0, true, 2}, {0, true, 1}, {0, true, 0}, {0, false, 0}}},
		{"a refused one does not count", ratelimit.Quota{N: 1, Per: time.Second}, []step{{0, true, 0}, {500 * time.Millisecond, false, 0}, {500 * time.Millisecond, true, 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := throttle.NewMemory()
				for i, s := range tt.steps {
					time.Sleep(s.after)
					d, err := one(m, "ada", tt.q)
					if err != nil || d.Allowed != s.allow || d.Remaining != s.left {
						t.Errorf("step %d: %+v, %v; want %+v", i, d, err, s)
					}
					if d.Allowed != (d.Retry == 0) || d.Reset < 0 || d.Reset > tt.q.Per {
						t.Errorf("step %d: Retry %v, Reset %v", i, d.Retry, d.Reset)
					}
				}
			})
		})
	}
}

func TestMemoryUnderRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := throttle.NewMemory()
		results := make(chan bool, 200)
		for range 200 {
			go func() {
				d, _ := one(m, "ada", ratelimit.Quota{N: 50, Per: time.Hour})
				results <- d.Allowed
			}()
		}
		allowed := 0
		for range 200 {
			if <-results {
				allowed++
			}
		}
		if allowed != 50 {
			t.Errorf("%d of 200 at once are allowed, want 50", allowed)
		}
	})
}

// A limited caller cannot make the limiter forget it by creating a million new callers.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, most, more = 1_000_000, 64 << 20, 2 << 20
		q := ratelimit.Quota{N: 30, Per: time.Minute}
		before, halfway := requesttest.Heap(), uint64(0)
		m := throttle.NewMemory()
		for range q.N {
			_, _ = one(m, "limited", q)
		}
		for i := range callers {
			if d, _ := one(m, strconv.Itoa(i), q); !d.Allowed {
				t.Fatal("a new caller is refused")
			}
			if i == callers/2 {
				halfway = requesttest.Heap()
			}
		}
		if grown := int64(requesttest.Heap()) - int64(halfway); grown > more {
			t.Errorf("fault 32: the second half million takes %d MB more", grown>>20)
		}
		if grown := int64(requesttest.Heap()) - int64(before); grown > most {
			t.Errorf("fault 32: %d callers take %d MB", callers, grown>>20)
		} else {
			t.Logf("%d callers take %.1f MB", callers, float64(grown)/(1<<20))
		}
		if d, _ := one(m, "limited", q); d.Allowed {
			t.Error("fault 32: a limited caller got a fresh quota by bringing others along")
		}
	})
}

// Fault 73: with a long and a short window, the callers who used the least of their quota are evicted first, not those
// whose quota recovers first.
func TestFault73Eviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		windows := ratelimit.Quotas{{N: 30, Per: time.Minute}, {N: 500, Per: 24 * time.Hour}}
		m := throttle.NewMemory()
		ask := func(caller string) []ratelimit.Decision {
			decisions, _ := m.Allow(t.Context(), []ratelimit.Bucket{{Key: caller, Quota: windows[0]}, {Key: caller, Quota: windows[1]}})
			return decisions
		}
		for range 30 {
			ask("limited")
		}
		for i := range 300_000 {
			ask(strconv.Itoa(i))
		}
		if d := ask("limited"); d[0].Allowed || d[1].Remaining != 470 {
			t.Errorf("%+v, want a refusal of the short window, and 470 remaining of the long one", d)
		}
	})
}

func BenchmarkMemory(b *testing.B) {
	m := throttle.NewMemory()
	q := ratelimit.Quota{N: 30, Per: time.Minute}
	b.Run("one caller", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = one(m, "ada", q)
		}
	})
	b.Run("new callers, table full", func(b *testing.B) {
		keys := make([]string, 1<<20)
		for i := range keys {
			keys[i] = strconv.Itoa(i)
		}
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			_, _ = one(m, keys[i&(len(keys)-1)], q)
			i++
		}
	})
}

// Fault 68: several windows, each with its own policy in the headers; Retry-After is that of the window that refuses.
func TestFault68SeveralWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(requesttest.Minted)
		h := throttle.Middleware(throttle.Options{
			Limiter: throttle.NewMemory(),
			Caller:  ratelimit.Quotas{{N: 2, Per: time.Minute}, {N: 3, Per: time.Hour}},
		})(m)
		for i, want := range []struct {
			after  time.Duration
			status int
			limit  string
			retry  string
		}{
			{0, 200, `"caller";r=1;t=30, "caller-3600";r=2;t=1200`, ""},
			{0, 200, `"caller";r=0;t=60, "caller-3600";r=1;t=2400`, ""},
			{0, 429, `"caller";r=0;t=30, "caller-3600";r=1;t=30`, "30"},
			{30 * time.Second, 200, `"caller";r=0;t=60, "caller-3600";r=0;t=3570`, ""},
			{30 * time.Second, 429, `"caller";r=1;t=30, "caller-3600";r=0;t=1140`, "1140"},
			{1140 * time.Second, 200, `"caller";r=1;t=30, "caller-3600";r=0;t=3600`, ""},
		} {
			time.Sleep(want.after)
			w := requesttest.Serve(h, requesttest.New())
			if w.Code != want.status || w.Header().Get("RateLimit") != want.limit || w.Header().Get("Retry-After") != want.retry {
				t.Errorf("call %d: %d, RateLimit %s, Retry-After %q; want %+v", i, w.Code, w.Header().Get("RateLimit"), w.Header().Get("Retry-After"), want)
			}
			if got, want := w.Header().Get("RateLimit-Policy"), `"caller";q=2;w=60, "caller-3600";q=3;w=3600`; got != want {
				t.Errorf("RateLimit-Policy %s, want %s", got, want)
			}
		}
	})
}

// A budget that runs low again after it has recovered is logged again.
func TestBudgetRunsLowAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := throttle.Middleware(throttle.Options{
			Limiter: throttle.NewMemory(), Log: slog.New(slog.NewTextHandler(&log, nil)), Budget: ratelimit.Quotas{{N: 5, Per: time.Hour}},
		})(new(requesttest.Minted))
		for hour := 1; hour <= 2; hour++ {
			for range 5 {
				requesttest.Serve(h, requesttest.New())
			}
			if n := strings.Count(log.String(), "tenant budget at 80 percent"); n != hour {
				t.Errorf("after hour %d, the log says it %d times", hour, n)
			}
			time.Sleep(time.Hour)
		}
	})
}

// A budget is low from 80 percent on, and again once less than 70 percent was used.
func TestBudgetThresholds(t *testing.T) {
	for _, tt := range []struct {
		n, mints, recovered, more int // recovered: mints that the budget allows again before the further ones
		warnings                  int
	}{
		{n: 1, mints: 1, warnings: 1},
		{n: 100, mints: 79, warnings: 0},
		{n: 100, mints: 80, warnings: 1},
		{n: 100, mints: 80, recovered: 11, more: 11, warnings: 1}, // from 69, and 70 with the next mint
		{n: 100, mints: 80, recovered: 12, more: 12, warnings: 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			h := throttle.Middleware(throttle.Options{
				Limiter: throttle.NewMemory(), Log: slog.New(slog.NewTextHandler(&log, nil)), Budget: ratelimit.Quotas{{N: tt.n, Per: time.Hour}},
			})(new(requesttest.Minted))
			for range tt.mints {
				requesttest.Serve(h, requesttest.New())
			}
			time.Sleep(time.Duration(tt.recovered) * time.Hour / time.Duration(tt.n))
			for range tt.more {
				requesttest.Serve(h, requesttest.New())
			}
			if n := strings.Count(log.String(), "tenant budget at 80 percent"); n != tt.warnings {
				t.Errorf("%+v: %d warnings", tt, n)
			}
		})
	}
}

// Fault 69: a tenant's budget applies to all of its callers, and to no other tenant; the log names it.
func TestFault69TenantBudget(t *testing.T) {
	l := throttle.NewMemory()
	var log bytes.Buffer
	handler := func(tenant string) http.Handler {
		return throttle.Middleware(throttle.Options{
			Limiter: l, Tenant: tenant, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Caller: ratelimit.Quotas{{N: 3, Per: time.Minute}}, Budget: ratelimit.Quotas{{N: 5, Per: 24 * time.Hour}, {N: 50, Per: 48 * time.Hour}},
		})(new(requesttest.Minted))
	}
	acme, other := handler("acme"), handler("other")
	for i := range 10 {
		r := requesttest.New()
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i)
		var line bytes.Buffer
		w := httptest.NewRecorder()
		request.Handler(acme, slog.New(slog.NewTextHandler(&line, nil))).ServeHTTP(w, r)
		if (w.Code == 200) != (i < 5) {
			t.Errorf("caller %d: %d", i, w.Code)
		}
		if w.Code == 429 && (!strings.Contains(line.String(), "limit=tenant ") || w.Header().Get("Retry-After") != "17280") {
			t.Errorf("caller %d: Retry-After %s, %s", i, w.Header().Get("Retry-After"), line.String())
		}
		if got, want := w.Header().Get("RateLimit-Policy"), `"caller";q=3;w=60, "tenant";q=5;w=86400, "tenant-172800";q=50;w=172800`; got != want {
			t.Errorf("RateLimit-Policy %s, want %s", got, want)
		}
	}
	if w := requesttest.Serve(other, requesttest.New()); w.Code != 200 || !strings.Contains(w.Header().Get("RateLimit"), `"tenant";r=4`) {
		t.Errorf("another tenant: %d, RateLimit %s", w.Code, w.Header().Get("RateLimit"))
	}
	if n := strings.Count(log.String(), "tenant budget at 80 percent"); n != 1 || !strings.Contains(log.String(), "tenant=acme limit=tenant quota=5/24h0m0s remaining=1") {
		t.Errorf("the log says %d times that the budget runs low, want once:\n%s", n, log.String())
	}
}
