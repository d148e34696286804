package throttle_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/ratelimittest"
)

func TestMemoryConformance(t *testing.T) {
	m := throttle.NewMemory()
	ratelimittest.Test(t, ratelimittest.Harness{
		Open:    func(*testing.T) ratelimit.Limiter { return m },
		SetBack: func(_ *testing.T, b ratelimit.Bucket, d time.Duration) { m.SetBack(b, d) },
	})
}

// The fastest quota allows a request each microsecond.
func TestMicroseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, q := throttle.NewMemory(), ratelimit.Quota{N: 1000, Per: time.Millisecond}
		for range q.N {
			_, _ = one(m, "ada", q)
		}
		if d, _ := one(m, "ada", q); d.Allowed || d.Retry != time.Microsecond || d.Reset != time.Millisecond {
			t.Errorf("%+v", d)
		}
		time.Sleep(time.Microsecond)
		if d, _ := one(m, "ada", q); !d.Allowed || d.Remaining != 0 {
			t.Errorf("after a microsecond: %+v", d)
		}
	})
}
