// Command orgaserver is the endpoint in a plain net/http server, set up from the environment as any
// deployment is: what tools/bench measures. It listens on 127.0.0.1:$PORT until SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/core"
)

func main() {
	profile := flag.String("cpuprofile", "", "write a CPU profile to this `file`, from SIGUSR1 until the end")
	flag.Parse()
	if err := run(*profile); err != nil {
		log.Fatal(err)
	}
}

func run(profile string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	handler := core.New(ctx, core.ConfigFromEnv(core.Environ(os.Environ())), core.Drivers{})
	if err := handler.Faults(); err != nil {
		return err // a refusal is fast, and not what is measured
	}
	if profile != "" {
		written := profileFromSignal(ctx, profile)
		defer func() { <-written }()
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // the load generator has what it wanted
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// profileFromSignal leaves out the start and the first requests, which are not what a server does all
// day. The channel is closed when the profile is in its file.
func profileFromSignal(ctx context.Context, file string) <-chan struct{} {
	begin := make(chan os.Signal, 1)
	signal.Notify(begin, syscall.SIGUSR1)
	written := make(chan struct{})
	go func() {
		defer close(written)
		select {
		case <-begin:
		case <-ctx.Done():
			return
		}
		f, err := os.Create(file)
		if err != nil {
			log.Print(err)
			return
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			log.Print(err)
			return
		}
		<-ctx.Done()
		pprof.StopCPUProfile()
	}()
	return written
}
