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

// The endpoint in a server of your own, with the key in AWS Secrets Manager. Where a router has other
// routes, mount the handler at /api/orga-client-secrets, /healthz and /readyz: it looks at whole paths.
func Example() {
	cfg := core.ConfigFromEnv(os.LookupEnv)
	core.SetDefault(cfg.Logger(nil)) // what net/http logs may quote the key
	drivers := core.Drivers{Secrets: secret.Drivers{"awssm": awssm.Open(os.LookupEnv, true)}}

	// An error names every setting that is wrong. A server that may not start with such can stop here;
	// a function serves on, so that its health and its log can be asked.
	handler, err := core.New(context.Background(), cfg, drivers)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: ":8080", Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// Settings may come from anywhere that can be looked up by name.
func ExampleConfigFromEnv() {
	settings := map[string]string{
		"ORGA_API_KEY_SOURCE": "file:/etc/orga/api-key",
		"ORGA_AUTH":           "oidc",
		"ORGA_AUTH_ISSUER":    "https://example.eu.auth0.com/",
		"ORGA_AUTH_AUDIENCE":  "https://voice.example",
		"ORGA_CORS_ORIGINS":   "https://app.example",
	}
	cfg := core.ConfigFromEnv(func(name string) (string, bool) {
		value, ok := settings[name]
		return value, ok
	})
	http.Handle("/", must(core.New(context.Background(), cfg, core.Drivers{})))
}

func must(h http.Handler, err error) http.Handler {
	if err != nil {
		panic(err)
	}
	return h
}
