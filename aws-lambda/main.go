// Command aws-lambda is the endpoint on AWS Lambda, behind an HTTP API, a REST API, a Function URL or a
// load balancer: the event tells which.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/lambdahttp"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
)

func main() {
	if core.PrintVersion(os.Stdout, os.Args) {
		return
	}
	cfg := core.ConfigFromEnv(os.LookupEnv)
	log := slog.New(metrics{cfg.Logger(nil).Handler(), lambdacontext.FunctionName})
	core.SetDefault(log) // for what never reaches the endpoint: events that are no request
	// New logs what is wrong with the settings, and what it gives answers all the same: a process that
	// ended would be started again and again, and a client would see a bare 502. It waits for 2 s at
	// most; Lambda gives init 10 s.
	h, _ := core.New(context.Background(), cfg, core.Drivers{
		Secrets:  secret.Drivers{"awssm": awssm.Open(os.LookupEnv, true)},
		Limiters: ratelimit.Drivers{"redis": redislimit.Open, "rediss": redislimit.Open},
		Log:      log,
	})
	lambda.StartWithOptions(lambdahttp.AWS(h, cfg.TrustedHops))
}
