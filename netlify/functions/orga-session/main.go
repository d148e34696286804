// Command orga-session is the endpoint as a Netlify function, in the folder where Netlify's own build looks.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/lambdahttp"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/ratelimit/redisrest"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
)

func main() {
	if core.PrintVersion(os.Stdout, os.Args) {
		return
	}
	env := core.Environ(os.Environ())
	lambda.StartWithOptions(lambdahttp.Netlify(core.Start(context.Background(), env, core.Drivers{
		// The AWS credentials in this environment belong to Netlify; only ORGA_AWS_* belong to the owner. Google's
		// store is not linked: it would add 1.1 MB, and there are no Google credentials here.
		Secrets: map[string]secret.Driver{"awssm": awssm.Open(env.Lookup, false)},
		Limiters: map[string]ratelimit.Driver{
			"dynamodb": dynamolimit.Open(env.Lookup, false), "https": redisrest.Open(nil), "redis": redislimit.Open, "rediss": redislimit.Open,
		},
	}, nil)))
}
