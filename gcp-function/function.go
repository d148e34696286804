// Package function is the endpoint on Google Cloud: an HTTP function called OrgaSession, for Cloud Run functions. Google
// builds a function from the root of the upload, so `make build-gcp` stages it there. The package is not called main,
// because the build adds its own main package.
//
// The functions framework in front of it redirects an unclean path (//, /./, /../) to the clean one, where the endpoint
// would answer 404, and ends a request's context after CLOUD_RUN_TIMEOUT_SECONDS, if that is set.
package function

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
	"github.com/orga-session/orga-session/internal/googlefront"
)

// Work in init does not delay a caller.
func init() {
	env := core.Environ(os.Environ())
	e := core.Start(context.Background(), env, core.Drivers{
		Secrets:  map[string]secret.Driver{"gcpsm": gcpsm.Open(env.Lookup)},
		Limiters: map[string]ratelimit.Driver{"redis": redislimit.Open, "rediss": redislimit.Open},
	}, func(w io.Writer, options *slog.HandlerOptions) slog.Handler {
		options.ReplaceAttr = cloudLogging(env["GOOGLE_CLOUD_PROJECT"])
		return slog.NewJSONHandler(w, options)
	})
	functions.HTTP("OrgaSession", googlefront.Handler(e, e.Config()).ServeHTTP)
}
