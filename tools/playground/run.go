package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	goodbye     = 2 * time.Second // for requests that are under way at the end
)

const help = `The endpoint on this machine, with a local Orga Cloud behind it and a page to talk to it.

  make run                                     the local cloud; no account, no network
  make run PORT=9000                           on another port
  make run ORGA_RATE_LIMIT=5/1m                any setting of the endpoint
  make run ORGA_API_KEY_SOURCE=file:/path/key  the real Orga: real tokens are minted

With ORGA_API_KEY, ORGA_API_KEY_SOURCE or ORGA_BASE_URL set, the endpoint talks to the real Orga and no
local cloud is started; nothing is minted until you ask. ORGA_AUTH is anonymous here unless it is set: only this machine can connect.
ORGA_LOG_LEVEL=info shows the endpoint's log line for each request.

Flags:
`

// run starts the playground and returns when ctx has ended and everything is put away.
func run(ctx context.Context, args []string, env core.Env, out io.Writer) error {
	flags := flag.NewFlagSet("playground", flag.ContinueOnError)
	flags.SetOutput(out)
	port := flags.String("port", cmp.Or(env["PORT"], defaultPort), "port of the page and the endpoint, also set by $PORT; 0 is any free port")
	cloudPort := flags.String("cloud-port", "0", "port of the local cloud; 0 is any free port")
	flags.Usage = func() {
		fmt.Fprint(out, help)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag; see -help", flags.Arg(0))
	}
	chosen := env["PORT"] != ""
	flags.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "port" })
	listener, err := listen(*port, chosen, out)
	if err != nil {
		return err
	}
	defer listener.Close()
	p := &playground{}
	overrides := map[string]string{}
	if !withReal(env) {
		key := newKey()
		if p.cloud, err = orgacloud.Start(orgacloud.Config{APIKey: key, Addr: loopback(*cloudPort)}); err != nil {
			return err
		}
		defer p.cloud.Close()
		overrides = map[string]string{"ORGA_API_KEY": key, "ORGA_BASE_URL": p.cloud.URL()}
	}
	settings := withDefaults(env, overrides)
	config := core.ConfigFromEnv(settings)
	p.auth, p.orga = config.Auth, strings.TrimRight(config.BaseURL, "/")
	endpoint := core.New(ctx, config, core.Drivers{
		Secrets: secret.Drivers{"awssm": awssm.Open(settings.Lookup, true), "gcpsm": gcpsm.Open(settings.Lookup)},
		Limiters: ratelimit.Drivers{
			"dynamodb": dynamolimit.Open(settings.Lookup, true), "https": redisrest.Open(nil), "redis": redislimit.Open, "rediss": redislimit.Open,
		},
	})
	p.endpoint = endpoint
	if err := endpoint.Faults(); err != nil {
		return fmt.Errorf("the settings are wrong:\n%w", err)
	}

	handler, err := p.handler(listener.Addr().String())
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	introduce(ctx, out, "http://"+listener.Addr().String(), p)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	fmt.Fprintln(out, "\nEnded.")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // what is left has had its time
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listen listens on the port. A port that was chosen and is in use is an error; the default port is replaced by
// a free one.
func listen(port string, chosen bool, out io.Writer) (net.Listener, error) {
	listener, err := net.Listen("tcp4", loopback(port))
	if err == nil {
		return listener, nil
	}
	if chosen {
		return nil, fmt.Errorf("%w\nChoose another port: make run PORT=9000. PORT=0 takes any free one", err)
	}
	fmt.Fprintf(out, "Port %s is in use, so a free one is taken. Choose one with: make run PORT=9000\n", port)
	return net.Listen("tcp4", loopback("0"))
}

func loopback(port string) string { return net.JoinHostPort("127.0.0.1", port) }
