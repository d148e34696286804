// Package function is the endpoint on Google Cloud: an HTTP function called OrgaSession, for Cloud Run
// functions. Google's build reads a function from the root of what is uploaded, so `make build-gcp`
// stages it there; the package is not called main because that build writes a main of its own.
//
// The functions framework stands before it, and does two things by itself: it redirects a path that is
// not clean (//, /./, /../) to the clean one, where the endpoint would answer 404, and it ends a
// request's context after CLOUD_RUN_TIMEOUT_SECONDS where that is set.
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

// An instance starts with init: what is done here, no caller waits for.
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

// behindGoogle tells h what Google's front end says of a request: the client's address, whether the client
// used https, and that IAM has let the caller through, where the owner says that the service requires it. Which caller that is
// only a header would say.
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
