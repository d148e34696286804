package secretcache_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/secret"
)

func ExampleCache() {
	environment := map[string]string{"ORGA_API_KEY": "sk_orga_ai_test"}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }

	src, err := secret.Open("env:ORGA_API_KEY", nil, lookup, secretcache.CheckKey)
	if err != nil {
		fmt.Println(err)
		return
	}
	cache := secretcache.New(src, secretcache.Options{Name: "env:ORGA_API_KEY", Log: slog.Default()})

	key, err := cache.Get(context.Background())
	fmt.Println(key.Value, err)

	// Orga rejected the key: fetch a newer one.
	newer, err := cache.Refresh(context.Background(), key.Version)
	fmt.Println(newer.Version != key.Version, err)
	// Output:
	// [redacted] <nil>
	// false <nil>
}
