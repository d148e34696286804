// Command orgaserver is the endpoint as a plain HTTP server behind a proxy: tools/bench measures it. It
// listens on 127.0.0.1:$PORT until SIGTERM and takes the caller's address from X-Forwarded-For.
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	handler := core.Start(ctx, core.Environ(os.Environ()), core.Drivers{
		Limiters: ratelimit.Drivers{"redis": redislimit.Open},
	}, nil)
	if err := handler.Faults(); err != nil {
		log.Fatal(err) // it would answer too, but that is not what is measured
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if addr := r.Header.Get("X-Forwarded-For"); addr != "" {
				r.RemoteAddr = net.JoinHostPort(addr, "0")
			}
			handler.ServeHTTP(w, r)
		})}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	_ = server.Shutdown(context.Background())
}
