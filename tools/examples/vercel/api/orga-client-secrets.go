// Package handler is the endpoint as a Go function on Vercel, such as next to a Next.js app.
package handler

import (
	"context"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
)

// endpoint is created once per instance. Faults of the settings are logged.
var endpoint = sync.OnceValue(func() http.Handler {
	env := core.Environ(os.Environ())
	return core.Start(context.Background(), env, core.Drivers{
		// The AWS credentials in this environment belong to Vercel; only ORGA_AWS_* belong to you.
		Secrets: map[string]secret.Driver{"awssm": awssm.Open(env.Lookup, false)},
	}, nil)
})

// Handler serves api/orga-client-secrets.
func Handler(w http.ResponseWriter, r *http.Request) {
	// Vercel overwrites this header, whatever a client sends.
	r.RemoteAddr = ""
	if addr := platform.ParseAddr(r.Header.Get("X-Vercel-Forwarded-For")); addr.IsValid() {
		r.RemoteAddr = net.JoinHostPort(addr.String(), "0")
	}
	endpoint().ServeHTTP(w, r)
}
