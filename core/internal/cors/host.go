package cors

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/orga-session/orga-session/core/internal/netaddr"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/platform"
)

var errHost = errors.New("the host is not allowed")

// AllowHosts returns a middleware that refuses (403) a request whose Host is not in hosts; without hosts, it refuses
// nothing. A host has a port only if that is not 80 or 443: voice.example, localhost:8080. Case is ignored. The error joins
// the faults of the entries, by position and without their text.
//
// It stops pages whose names were pointed at the endpoint without its owner's knowledge (DNS rebinding). It must precede
// [Policy.Mint], so that such a page cannot even read the refusal.
func AllowHosts(hosts []string) (func(http.Handler) http.Handler, error) {
	allowed := make(map[string]bool, len(hosts))
	var faults []error
	for i, host := range hosts {
		host = canonicalHost(host)
		if err := checkAuthority("", host); err != nil {
			faults = append(faults, fmt.Errorf("host %d of %d %w", i+1, len(hosts), err))
		}
		allowed[host] = true
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return func(next http.Handler) http.Handler {
		if len(allowed) == 0 {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host := canonicalHost(r.Host)
			if !allowed[host] {
				request.Fail(w, r, problem.New(problem.Forbidden, notAllowed(host)))
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

// LocalHosts is a middleware for tenants that accept anonymous callers. On a server to which only this machine can connect
// ([platform.Info]), it refuses (403) a request whose Host is not a loopback name. Otherwise a web page could mint in the
// browser of this machine's user: its owner points its domain at 127.0.0.1, and a same-origin GET has no Origin header.
func LocalHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := (&url.URL{Host: r.Host}).Hostname(); platform.From(r.Context()).LocalOnly && !netaddr.IsLoopback(name) {
			request.Fail(w, r, problem.New(problem.Forbidden, notAllowed(canonicalHost(r.Host))))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// canonicalHost returns a Host as browsers send it. Other clients may include the default port.
func canonicalHost(host string) string {
	host = strings.ToLower(host)
	for _, port := range []string{":443", ":80"} {
		if name, ok := strings.CutSuffix(host, port); ok {
			return name
		}
	}
	return host
}

// notAllowed names the refused host, so that the owner can list it. It does not repeat text that is not a host.
func notAllowed(host string) error {
	if checkAuthority("", host) != nil {
		return errHost
	}
	return fmt.Errorf("%w: %s", errHost, host)
}
