// Command server is the endpoint as a plain HTTP server on $PORT, for Cloud Run or any container.
package main

import (
	"cmp"
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
)

func main() {
	if core.PrintVersion(os.Stdout, os.Args) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// serve serves until ctx ends, and then lets the requests that are under way finish.
func serve(ctx context.Context) error {
	env := core.Environ(os.Environ())
	// Faults of the settings are logged; /healthz and /readyz tell them apart from a crash.
	h := core.Start(ctx, env, core.Drivers{
		Secrets: secret.Drivers{"awssm": awssm.Open(env.Lookup, true), "gcpsm": gcpsm.Open(env.Lookup)},
	}, nil)
	server := &http.Server{Addr: ":" + cmp.Or(os.Getenv("PORT"), "8080"), Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		ended <- server.Shutdown(ending)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}
