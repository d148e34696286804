// Package googlefront reads what Google's front end reports about a request, for the entrypoints that run behind it.
package googlefront

import (
	"net/http"
	"net/netip"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/platform"
)

// Handler passes h the data of Google's front end: the client's address, whether the client used https, and, if the
// owner declares that the service requires IAM, that IAM has admitted the caller. The caller's name
// would be only in a header, and headers are not trusted.
func Handler(h http.Handler, cfg core.Config) http.Handler {
	var caller *platform.Identity
	if cfg.GoogleIAM {
		caller = &platform.Identity{Issuer: "https://accounts.google.com"}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(platform.With(r.Context(), platform.Info{HTTPS: platform.ForwardedHTTPS(r.Header), Identity: caller}))
		r.RemoteAddr = ""
		if addr := platform.ForwardedAddr(r.Header, cfg.TrustedHops); addr.IsValid() {
			r.RemoteAddr = netip.AddrPortFrom(addr, 0).String()
		}
		h.ServeHTTP(w, r)
	})
}

// OnCloudRun reports whether a program runs in a container on Cloud Run, which can be reached only through Google's front
// end. Cloud Run sets K_SERVICE; Knative in a cluster does, too, but there, other pods can connect directly.
func OnCloudRun(env core.Env) bool {
	return env["K_SERVICE"] != "" && env["KUBERNETES_SERVICE_HOST"] == ""
}
