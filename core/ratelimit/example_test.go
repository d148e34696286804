package ratelimit_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
)

// once is a Limiter whose quotas never recover.
type once struct {
	mu   sync.Mutex
	used map[ratelimit.Bucket]int
}

func (o *once) Allow(_ context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	room := true
	for _, b := range buckets {
		room = room && o.used[b] < b.Quota.N
	}
	decisions := make([]ratelimit.Decision, len(buckets))
	for i, b := range buckets {
		if room {
			o.used[b]++
		}
		decisions[i] = ratelimit.Decision{Allowed: room || o.used[b] < b.Quota.N, Remaining: b.Quota.N - o.used[b], Reset: b.Quota.Per}
		if !decisions[i].Allowed {
			decisions[i].Retry = b.Quota.Per
		}
	}
	return decisions, nil
}

// A custom store, under a scheme chosen by the program: each caller may mint twice.
func ExampleDriver() {
	api := httptest.NewServer(new(orgatest.API)) // in place of Orga
	defer api.Close()
	quotas, err := ratelimit.ParseQuotas("2/24h")
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint := core.New(context.Background(), core.Config{
		RateLimitStore: secret.NewValue("once:"),
		Tenant: core.Tenant{
			APIKey: secret.SourceFunc(func(context.Context) (secret.Secret, error) {
				return secret.Secret{Value: secret.NewValue(orga.KeyPrefix + "of-an-example"), Version: "1"}, nil
			}),
			BaseURL: api.URL, Auth: []string{"anonymous"}, RateLimit: quotas,
		},
		Log: slog.New(slog.DiscardHandler),
	}, core.Drivers{Limiters: map[string]ratelimit.Driver{
		"once": func(string) (ratelimit.Limiter, error) { return &once{used: make(map[ratelimit.Bucket]int)}, nil },
	}})
	defer endpoint.Close()

	for range 3 {
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets", nil))
		fmt.Println(w.Code, w.Header().Get("RateLimit"))
	}
	// Output:
	// 200 "caller";r=1;t=86400
	// 200 "caller";r=0;t=86400
	// 429 "caller";r=0;t=86400
}
