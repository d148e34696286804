package redislimit_test

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
)

// A limit that all instances share while Redis answers, and that each has for itself while it does not.
func Example() {
	shared, err := redislimit.New("rediss://default:password@store.example:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shared.Close()
	limiter := ratelimit.Fallback(shared, slog.Default())
	_ = ratelimit.Middleware(limiter, ratelimit.Quota{N: 30, Per: time.Minute}, "") // in front of the mint
}
