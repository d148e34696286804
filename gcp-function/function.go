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
	"net/http"
	"net/netip"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
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
	functions.HTTP("OrgaSession", behindGoogle(e, e.Config()))
}

// behindGoogle passes h the data of Google's front end: the client's address, whether the client used https, and, if the
// owner declares that the service requires IAM, that IAM has admitted the caller. The caller's name
// would be only in a header, and headers are not trusted.
func behindGoogle(h http.Handler, cfg core.Config) func(http.ResponseWriter, *http.Request) {
	var caller *platform.Identity
	if cfg.GoogleIAM {
		caller = &platform.Identity{Issuer: "https://accounts.google.com"}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(platform.With(r.Context(), platform.Info{HTTPS: platform.ForwardedHTTPS(r.Header), Identity: caller}))
		r.RemoteAddr = ""
		if addr := platform.ForwardedAddr(r.Header, cfg.TrustedHops); addr.IsValid() {
			r.RemoteAddr = netip.AddrPortFrom(addr, 0).String()
		}
		h.ServeHTTP(w, r)
	}
}
