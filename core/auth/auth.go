package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/problem"
)

// Principal is a caller whose credential held. It is a value, but its claims may be shared with other
// requests of the same caller: read them, never write them.
type Principal struct {
	Subject string         // who, in the words of the issuer; "" when the credential names nobody
	Issuer  string         // who vouches for it; "" when that is us or the platform
	Claims  map[string]any // the verified claims, as JSON decodes them; nil when there are none

	// PathSigned says that the credential was made for this request's path, and so vouches for the
	// tenant in it by itself. A tenant claim is not asked for then.
	PathSigned bool
}

// Verifier decides whether a request comes from a caller who may mint. To accept another kind of
// credential (App Check, Turnstile, a session cookie), write one and hand it to Auth.
//
// An error refuses the request: ErrNoCredential when it carries nothing of this verifier's kind, an
// *problem.Problem when something else is in the way (answered as it is), anything else when the
// credential does not hold (answered 401). The text of an error is logged, never sent; it must not
// repeat the credential. Verify is called by many requests at once, and is bound by the request's
// context.
type Verifier interface {
	Verify(r *http.Request) (Principal, error)
}

// VerifierFunc is a Verifier of a function.
type VerifierFunc func(r *http.Request) (Principal, error)

// Verify calls f.
func (f VerifierFunc) Verify(r *http.Request) (Principal, error) { return f(r) }

// ErrNoCredential says that a request carries no credential of the kind that a Verifier reads.
var ErrNoCredential = errors.New("no credential of a kind that is accepted")

// errTenant is the private half of a refusal to a verified caller.
var errTenant = errors.New("the tenant claim does not match the route")

// Anonymous accepts everybody, without a subject: limits then count by address.
func Anonymous() Verifier {
	return VerifierFunc(func(*http.Request) (Principal, error) { return Principal{}, nil })
}

// Require lets a request through when one of the verifiers accepts it; without verifiers, none. The
// handler behind it finds the caller with PrincipalFrom, the log a hash of the subject. A credential
// that is missing or does not hold is answered 401, with one body for all reasons.
//
// With a tenantClaim, that claim must also be a string equal to tenant, the tenant of the route. On
// the default route, where tenant is "", it must be absent or empty. Any other is answered 403.
func Require(verifiers []Verifier, tenantClaim, tenant string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			refusal := problem.New(problem.Unauthenticated, ErrNoCredential)
			refusal.Header = http.Header{"Www-Authenticate": {"Bearer"}}
			for _, v := range verifiers {
				p, err := v.Verify(r)
				switch refused, ok := errors.AsType[*problem.Problem](err); {
				case err == nil && belongs(p, tenantClaim, tenant):
					note(r, p)
					next.ServeHTTP(w, r)
					return
				case err == nil:
					note(r, p)
					refusal = problem.New(problem.Forbidden, errTenant)
				case ok:
					refusal = refused
				case refusal.Code == problem.Unauthenticated && !errors.Is(err, ErrNoCredential):
					refusal.Cause = err
				}
			}
			request.Fail(w, r, refusal)
		})
	}
}

// belongs holds a principal to the tenant of the route. A claim that is null counts as absent, and so
// do all claims of a principal that has none.
func belongs(p Principal, claim, tenant string) bool {
	if claim == "" || p.PathSigned {
		return true
	}
	switch v := p.Claims[claim].(type) {
	case nil:
		return tenant == ""
	case string:
		return v == tenant
	default: // a list, an object: which of them is meant is not ours to guess
		return false
	}
}

// note puts who the caller is into the request's record.
func note(r *http.Request, p Principal) {
	if p.Subject != "" {
		sum := sha256.Sum256([]byte(p.Issuer + "\n" + p.Subject))
		request.From(r.Context()).Caller = hex.EncodeToString(sum[:16])
	}
}
