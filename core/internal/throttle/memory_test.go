package throttle_test

import (
	"testing"
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
