// Command orga-session runs the endpoint as a plain HTTP server, for a container, a virtual machine, or any
// platform that starts a program and sends it HTTP. Settings come from the environment; see --help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/ratelimit/redisrest"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
	"github.com/orga-session/orga-session/internal/connlimit"
	"github.com/orga-session/orga-session/internal/googlefront"
)

func main() {
	if core.PrintVersion(os.Stdout, os.Args) {
		return
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], core.Environ(os.Environ()), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "orga-session:", err)
		os.Exit(1)
	}
}

// run serves until ctx is canceled, then waits for requests in flight.
func run(ctx context.Context, args []string, env core.Env, out io.Writer) error {
	flags := flag.NewFlagSet("orga-session", flag.ContinueOnError)
	addr := flags.String("addr", "", "address to listen on (default 127.0.0.1:8080, or all interfaces at $PORT if it is set)")
	check := flags.Bool("check", false, "check the settings, report every invalid or unknown one and exit")
	flags.SetOutput(io.Discard)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		printUsage(out, flags)
		return nil
	case err != nil:
		return fmt.Errorf("%w; see --help", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; settings come from the environment, see --help", flags.Arg(0))
	}
	var listener net.Listener
	if !*check {
		var err error
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", listenAddr(*addr, env)); err != nil {
			return fmt.Errorf("%w; choose another address with -addr or PORT", err)
		}
		defer func() { _ = listener.Close() }() // the server has closed it, unless Start panicked
	}
	endpoint := core.Start(ctx, env, core.Drivers{
		Secrets: map[string]secret.Driver{"awssm": awssm.Open(env.Lookup, true), "gcpsm": gcpsm.Open(env.Lookup)},
		Limiters: map[string]ratelimit.Driver{
			"dynamodb": dynamolimit.Open(env.Lookup, true), "https": redisrest.Open(nil), "redis": redislimit.Open, "rediss": redislimit.Open,
		},
	}, nil)
	defer func() { _ = endpoint.Close() }() // the process exits anyway
	if *check {
		if endpoint.Faults() != nil {
			return errors.New("some settings are invalid; the log above lists them")
		}
		if unknown := endpoint.Config().Unknown(); len(unknown) > 0 {
			return errors.New(strings.Join(unknown, "; "))
		}
		fmt.Fprintln(out, "All settings are valid.")
		return nil
	}
	handler := http.Handler(endpoint)
	switch addr, _ := listener.Addr().(*net.TCPAddr); {
	case googlefront.OnCloudRun(env):
		handler = googlefront.Handler(endpoint, endpoint.Config())
	case addr != nil && addr.IP.IsLoopback():
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			endpoint.ServeHTTP(w, r.WithContext(platform.With(r.Context(), platform.Info{LocalOnly: true})))
		})
	}
	return serve(ctx, listener, handler, endpoint.Config().Timeout, out)
}

// listenAddr returns the address to listen on. A platform that sets $PORT sends requests to it from other
// machines; otherwise only loopback is served.
func listenAddr(flag string, env core.Env) string {
	switch {
	case flag != "":
		return flag
	case env["PORT"] != "":
		return ":" + env["PORT"]
	}
	return "127.0.0.1:8080"
}

// shutdownTimeout bounds the wait for requests in flight; a mint's own budget is 8 s.
const shutdownTimeout = 10 * time.Second

// writeTimeout is the time that a client has to read an answer, after the request's own budget. Without it, a client that
// sends requests and reads nothing would keep its connection forever.
const writeTimeout = 5 * time.Second

// Without a credential, a client can make the server hold maxConnections headers of maxHeaderBytes. With these values, the
// process fits into the 128 MiB of docs/kubernetes/orga-session.yaml. Above memoryLimit, the garbage collector works harder.
const (
	maxConnections = 512
	maxHeaderBytes = 24 << 10 // tokens have up to 16 KiB; the endpoint bounds the body and its time
	memoryLimit    = 96 << 20 // replaced by the variable GOMEMLIMIT
)

func serve(ctx context.Context, listener net.Listener, endpoint http.Handler, budget time.Duration, out io.Writer) error {
	fmt.Fprintf(out, "Serving http://%s/api/orga-client-secrets\n", listener.Addr())
	server := &http.Server{
		Handler:           endpoint,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      budget + writeTimeout,
		IdleTimeout:       2 * time.Minute, // longer than load balancers keep idle connections (AWS's: one minute)
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.Default(),
	}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		ended <- server.Shutdown(ending)
	}()
	if err := server.Serve(connlimit.Apply(server, listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

func printUsage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprint(w, `orga-session mints Orga session configs: it holds the permanent API key and hands out short-lived tokens.

Usage:

  ORGA_API_KEY=sk_orga_ai_… ORGA_AUTH=anonymous orga-session [flags]

Flags:

`)
	flags.SetOutput(w)
	flags.PrintDefaults()
	fmt.Fprint(w, `  -version
    	print the version and exit

Settings (environment variables; docs/settings.md explains each):

`)
	for _, s := range core.Settings() {
		if s.Variable == "" {
			continue
		}
		fmt.Fprintf(w, "  %s", s.Variable)
		if s.Default != "" {
			fmt.Fprintf(w, " (%s)", s.Default)
		}
		fmt.Fprintf(w, "\n    \t%s\n", strings.ReplaceAll(s.Meaning, "`", ""))
	}
	fmt.Fprint(w, `
Routes:

  GET, POST /api/orga-client-secrets[/TENANT]   mint a session config: {"ephemeralToken","iceServers",…}
  GET /healthz                                  200 while the process serves requests
  GET /readyz                                   200 once the API key is available

`)
}
