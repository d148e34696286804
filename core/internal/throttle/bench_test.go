package throttle_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/internal/request/requesttest"
	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// limits are combinations of quotas and budgets.
var limits = []struct {
	name    string
	options throttle.Options
}{
	{"one window", throttle.Options{Caller: ratelimit.Quotas{{N: 1 << 30, Per: time.Hour}}}},
	{"two windows and a budget", throttle.Options{
		Caller: ratelimit.Quotas{{N: 1 << 30, Per: time.Hour}, {N: 1 << 30, Per: 24 * time.Hour}},
		Budget: ratelimit.Quotas{{N: 1 << 30, Per: 48 * time.Hour}},
	}},
}

// limited serves sequential requests with a limit in memory.
func limited(o throttle.Options) func() {
	o.Limiter, o.Tenant = throttle.NewStore(nil, throttle.StoreOptions{}), "acme"
	h := throttle.Middleware(o)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := requesttest.New()
	r.RemoteAddr = "192.0.2.1:1234"
	w := httptest.NewRecorder()
	return func() { h.ServeHTTP(w, r) }
}

// Two windows and a budget need at most eight allocations more than one window.
func TestAllocations(t *testing.T) {
	one, more := testing.AllocsPerRun(100, limited(limits[0].options)), testing.AllocsPerRun(100, limited(limits[1].options))
	if more > one+8 {
		t.Errorf("%s: %.0f allocations, %s: %.0f", limits[0].name, one, limits[1].name, more)
	}
}

func BenchmarkMiddleware(b *testing.B) {
	for _, l := range limits {
		b.Run(l.name, func(b *testing.B) {
			serve := limited(l.options)
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}
