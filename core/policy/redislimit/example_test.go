package redislimit_test

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/orga-session/orga-session/core/policy"
	"github.com/orga-session/orga-session/core/policy/redislimit"
)

// A limit that all instances share while Redis answers, and that each has for itself while it does not.
func Example() {
	shared, err := redislimit.New("rediss://default:password@store.example:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shared.Close()
	limiter := policy.Degrade(shared, slog.Default())
	_ = policy.Limit(limiter, policy.Quota{N: 30, Per: time.Minute}, "") // in front of the mint
}
