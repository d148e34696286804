// Command orga-session is the endpoint as a Netlify function. It lies where Netlify's own build looks.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

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
	log := cfg.Logger(nil)
	core.SetDefault(log) // for what never reaches the endpoint: events that are no request
	// New logs what is wrong with the settings, and what it gives answers all the same. It waits for 2 s
	// at most.
	h, _ := core.New(context.Background(), cfg, core.Drivers{
		// The AWS credentials in this environment are Netlify's: only ORGA_AWS_* are the owner's. Google's
		// store is not linked: it is 1.1 MB more, and there are no credentials of Google's here.
		Secrets:  secret.Drivers{"awssm": awssm.Open(os.LookupEnv, false)},
		Limiters: ratelimit.Drivers{"redis": redislimit.Open, "rediss": redislimit.Open},
		Log:      log,
	})
	lambda.StartWithOptions(lambdahttp.Netlify(h))
}
