package redislimit_test

import (
	"context"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/secret"
)

// A limit that all instances share; while Redis is down, each instance counts alone.
func Example() {
	endpoint := core.New(context.Background(), core.Config{
		RateLimitStore: secret.NewValue("rediss://default:password@store.example:6379"),
		Tenant:         core.Tenant{RateLimit: ratelimit.Quotas{{N: 30, Per: time.Minute}, {N: 500, Per: 24 * time.Hour}}},
	}, core.Drivers{Limiters: map[string]ratelimit.Driver{"rediss": redislimit.Open}})
	defer endpoint.Close()
}
