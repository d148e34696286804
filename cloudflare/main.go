//go:build js && wasm

// Command cloudflare is the endpoint on Cloudflare Workers. host.mjs starts it and does its I/O.
package main

import (
	"net/http"

	"github.com/orga-session/orga-session/cloudflare/workers"
	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redisrest"
	"github.com/orga-session/orga-session/core/secret"
)

func main() {
	// An endpoint with faults keeps serving: if the program exited, each request would restart it.
	e := core.Start(workers.Background(), workers.Env(), core.Drivers{
		Secrets:   map[string]secret.Driver{"cloudflare": workers.SecretsStore},
		Limiters:  map[string]ratelimit.Driver{"https": redisrest.Open(&http.Client{Transport: workers.Transport})},
		Transport: workers.Transport,
	}, nil)
	workers.Serve(e)
}
