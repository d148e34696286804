package core_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
)

// The endpoint in your own server, with the key in AWS Secrets Manager. It matches whole paths: in a router with other
// routes, mount it at /api/orga-client-secrets, /healthz and /readyz, or mount Endpoint.Tenant at any path.
func Example() {
	env := core.Environ(os.Environ())
	endpoint := core.Start(context.Background(), env, core.Drivers{
		Secrets: map[string]secret.Driver{"awssm": awssm.Open(env.Lookup, true)},
	}, nil)

	// A server can exit here if settings are invalid. A function keeps serving, so that its health checks and its log show
	// the fault.
	if err := endpoint.Faults(); err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: endpoint, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// Settings can come from anywhere, such as a map.
func ExampleConfigFromEnv() {
	cfg := core.ConfigFromEnv(core.Env{
		"ORGA_API_KEY_SOURCE": "file:/etc/orga/api-key",
		"ORGA_AUTH":           "oidc",
		"ORGA_AUTH_ISSUER":    "https://example.eu.auth0.com/",
		"ORGA_AUTH_AUDIENCE":  "https://voice.example",
		"ORGA_CORS_ORIGINS":   "https://app.example",
	})
	http.Handle("/", core.New(context.Background(), cfg, core.Drivers{}))
}

// A hand-built Config, with the key from a custom source, on a custom route.
func ExampleEndpoint_Tenant() {
	cfg := core.Config{Tenant: core.Tenant{
		APIKey: secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			return secret.Secret{Value: secret.NewValue("sk_orga_ai_…"), Version: "1"}, nil
		}),
		Auth: []string{"gateway"},
	}}
	http.Handle("/voice/session", core.New(context.Background(), cfg, core.Drivers{}).Tenant(""))
}
