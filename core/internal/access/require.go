package access

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/authheader"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/strictjson"
)

// Options configure [Require]. The zero Options refuse every request.
type Options struct {
	Methods []Method // tried in this order; one that accepts is enough

	Claim      *TenantClaim // nil checks none
	Tenant     string       // of the route; "" for the default one
	ClaimValue string       // the claim's value for this tenant; "" is Tenant
}

// TenantClaim ties callers to their tenant by a claim. Share one instance among all tenants of an endpoint.
type TenantClaim struct {
	// Name is the claim. If no claim has this name, each dot may lead into a nested object: firebase.tenant
	// is the member tenant of the claim firebase.
	Name string
	// Log gets one warning, for the first credential that lacks the claim, because its name may be misspelled. nil
	// discards it.
	Log *slog.Logger

	warned atomic.Bool
}

var errTenant = errors.New("the tenant claim does not match the route")

// Require passes a request on if one of the methods accepts it, and records the method and a hash of the
// subject for limits and the log. A missing or invalid credential is answered 401, with the same body for
// all reasons.
//
// With a Claim, that claim must be a string equal to ClaimValue or Tenant. On the default route it must be
// absent, null or empty. Otherwise the answer is 403.
func Require(o Options) func(http.Handler) http.Handler {
	challenge := http.Header{"Www-Authenticate": {challenges(o.Methods)}}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var refusal *problem.Problem
			unauthenticated := auth.ErrNoCredential
			for _, m := range o.Methods {
				p, err := m.Verify(r)
				refused := refusalOf(r, err)
				if refused != nil {
					err = refused
				}
				trace(r, m.Name, err)
				switch {
				case err == nil:
					record(r, m.Name, p)
					if o.belongs(p) {
						next.ServeHTTP(w, r)
						return
					}
					refusal = problem.New(problem.Forbidden, errTenant)
				case refused != nil:
					refusal = refused
				case !errors.Is(err, auth.ErrNoCredential):
					unauthenticated = err
				}
			}
			if refusal == nil {
				refusal = &problem.Problem{Code: problem.Unauthenticated, Cause: unauthenticated, Header: challenge}
			}
			request.Fail(w, r, refusal)
		})
	}
}

// refusalOf returns the refusal for a verifier's error; nil if the credential is missing or invalid.
func refusalOf(r *http.Request, err error) *problem.Problem {
	if refused, ok := errors.AsType[*problem.Problem](err); ok {
		return refused
	}
	if unavailable, ok := errors.AsType[*auth.UnavailableError](err); ok {
		return &problem.Problem{Code: problem.AuthUnavailable, RetryAfter: unavailable.RetryAfter, Cause: err}
	}
	if errors.Is(err, auth.ErrForbidden) {
		return problem.New(problem.Forbidden, err)
	}
	if out := r.Context().Err(); out != nil && errors.Is(err, out) {
		return problem.New(problem.Timeout, err)
	}
	return nil
}

// challenges returns the value of WWW-Authenticate, which must name at least one scheme (RFC 9110, section 15.5.2).
func challenges(methods []Method) string {
	var schemes []string
	for _, m := range methods {
		if m.Scheme != "" {
			schemes = append(schemes, m.Scheme)
		}
	}
	if len(schemes) == 0 {
		return authheader.Bearer
	}
	return strings.Join(schemes, ", ")
}

// belongs reports whether a caller may use the tenant of the route.
func (o *Options) belongs(p auth.Principal) bool {
	if o.Claim == nil || p.PathSigned {
		return true
	}
	switch v := o.Claim.of(p).(type) {
	case nil:
		return o.Tenant == ""
	case string:
		return v == cmp.Or(o.ClaimValue, o.Tenant)
	default: // a list or an object: there is no right value in it
		return false
	}
}

// of returns the claim of p, nil if there is none.
func (c *TenantClaim) of(p auth.Principal) any {
	v, ok := strictjson.Lookup(p.Claims, c.Name)
	if !ok && c.Log != nil && (p.Subject != "" || p.Claims != nil) && !c.warned.Swap(true) {
		c.Log.Warn("a verified caller lacks the tenant claim", "claim", c.Name)
	}
	return v
}

// record stores the caller in the request's record.
func record(r *http.Request, method string, p auth.Principal) {
	x := request.From(r.Context())
	x.Auth, x.Issuer, x.Caller = method, p.Issuer, ""
	if p.Subject != "" {
		sum := sha256.Sum256([]byte(p.Issuer + "\n" + p.Subject))
		x.Caller = hex.EncodeToString(sum[:16])
	}
}

// trace logs a method's result at debug level.
func trace(r *http.Request, method string, err error) {
	log := request.Logger(r.Context())
	if !log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	outcome := "accepted"
	if err != nil {
		outcome = err.Error()
	}
	log.LogAttrs(r.Context(), slog.LevelDebug, "credential checked", slog.String("auth", method), slog.String("outcome", outcome))
}
