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
	_ = ratelimit.Middleware(ratelimit.Options{ // in front of the mint
		Limiter: ratelimit.NewStore(shared, ratelimit.StoreOptions{Log: slog.Default()}),
		Caller:  ratelimit.Quotas{{N: 30, Per: time.Minute}, {N: 500, Per: 24 * time.Hour}},
	})
}
