// Command aws-lambda is the endpoint on AWS Lambda, behind an HTTP API, a REST API, a Function URL or a load balancer,
// which it detects by the event. With the handler "canary", it runs package canary.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/orga-session/orga-session/aws-lambda/canary"
	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/lambdahttp"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
)

func main() {
	if core.PrintVersion(os.Stdout, os.Args) {
		return
	}
	env := core.Environ(os.Environ())
	secrets := map[string]secret.Driver{"awssm": awssm.Open(env.Lookup, true)}
	if env["_HANDLER"] == canary.Handler {
		log := slog.New(lambdahttp.Metrics(slog.NewJSONHandler(os.Stderr, nil)))
		lambda.Start(canary.FromEnv(env, secrets, log).Run)
		return
	}
	// An endpoint with faults keeps serving: if the process exited, Lambda would restart it endlessly, and clients would get a
	// bare 502.
	e := core.Start(context.Background(), env, core.Drivers{
		Secrets: secrets,
		Limiters: map[string]ratelimit.Driver{
			"dynamodb": dynamolimit.Open(env.Lookup, true), "redis": redislimit.Open, "rediss": redislimit.Open,
		},
	}, func(w io.Writer, options *slog.HandlerOptions) slog.Handler {
		return lambdahttp.Metrics(slog.NewJSONHandler(w, options))
	})
	lambda.StartWithOptions(lambdahttp.AWS(e, e.Config().TrustedHops))
}
