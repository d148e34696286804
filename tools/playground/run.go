package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/ratelimit/redisrest"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
	"github.com/orga-session/orga-session/tools/orgacloud"
)

const (
	defaultPort = "8787"
	endpoint    = "/api/orga-client-secrets"
	shutdown    = 2 * time.Second // time for requests in flight
)

const help = `Runs the endpoint on this machine, with a local Orga Cloud behind it and a page that uses it.

  make run                                     with the local cloud; needs no account or network
  make run PORT=9000                           on another port
  make run ORGA_RATE_LIMIT=5/1m                with any setting of the endpoint
  make run ORGA_AUTH=hmac                      with signed requests; it makes a key for them
  make run ORGA_API_KEY_SOURCE=file:/path/key  with the real Orga, which mints real tokens

If ORGA_API_KEY, ORGA_API_KEY_SOURCE or ORGA_BASE_URL is set, the endpoint uses the real Orga instead of the
local cloud; nothing is minted until you send a request. ORGA_AUTH defaults to anonymous here, because only this
machine can connect. ORGA_LOG_LEVEL=info logs one line for each request.

Flags:
`

// run serves the playground until ctx is canceled.
func run(ctx context.Context, args []string, env core.Env, out io.Writer) error {
	flags := flag.NewFlagSet("playground", flag.ContinueOnError)
	flags.SetOutput(out)
	port := flags.String("port", cmp.Or(env["PORT"], defaultPort), "port of the page and the endpoint, default $PORT; 0 for any free port")
	cloudPort := flags.String("cloud-port", "0", "port of the local cloud; 0 for any free port")
	flags.Usage = func() {
		fmt.Fprint(out, help)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	listener, err := listen(*port, out)
	if err != nil {
		return err
	}
	defer listener.Close()
	p := &playground{}
	overrides := map[string]string{}
	if !usesRealOrga(env) {
		key := newKey()
		if p.cloud, err = orgacloud.Start(orgacloud.Config{APIKey: key, Addr: loopback(*cloudPort)}); err != nil {
			return err
		}
		defer p.cloud.Close()
		overrides = map[string]string{"ORGA_API_KEY": key, "ORGA_BASE_URL": p.cloud.URL()}
	}
	settings := withDefaults(env, overrides)
	config := core.ConfigFromEnv(settings)
	p.hmacKey = settings[ownHMACKey]
	p.auth, p.orga = config.Auth, strings.TrimRight(config.BaseURL, "/")
	drivers := core.Drivers{
		Secrets: map[string]secret.Driver{"awssm": awssm.Open(settings.Lookup, true), "gcpsm": gcpsm.Open(settings.Lookup)},
		Limiters: map[string]ratelimit.Driver{
			"dynamodb": dynamolimit.Open(settings.Lookup, true), "https": redisrest.Open(nil), "redis": redislimit.Open, "rediss": redislimit.Open,
		},
	}
	if err := faults(ctx, config, drivers); err != nil {
		return fmt.Errorf("invalid settings:\n%w", err)
	}
	endpoint := core.New(ctx, config, drivers)
	defer endpoint.Close()
	p.endpoint = endpoint

	handler, err := p.handler(listener.Addr().String())
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	printIntroduction(ctx, out, "http://"+listener.Addr().String(), p)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	fmt.Fprintln(out, "\nStopped.")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // cuts off the remaining requests
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// faults checks the settings without the endpoint's log, which would list the faults once more.
func faults(ctx context.Context, config core.Config, drivers core.Drivers) error {
	config.Log, config.NoWarmUp = slog.New(slog.DiscardHandler), true
	endpoint := core.New(ctx, config, drivers)
	defer endpoint.Close()
	return endpoint.Faults()
}

// listen listens on the port, or on a free one if that fails, because another playground has it, say.
func listen(port string, out io.Writer) (net.Listener, error) {
	listener, err := net.Listen("tcp4", loopback(port))
	if err == nil {
		return listener, nil
	}
	fmt.Fprintf(out, "%v; using a free port. To choose another one: make run PORT=9000\n", err)
	return net.Listen("tcp4", loopback("0"))
}

func loopback(port string) string { return net.JoinHostPort("127.0.0.1", port) }
