package auth

import (
	"errors"
	"net/http"
	"time"
)

// Principal is a verified caller. It is a value, but its claims may be shared with other requests of the
// same caller: do not modify them.
type Principal struct {
	Subject string // the caller's name at the issuer; "" if the credential names nobody
	Issuer  string // the issuer that Subject comes from; "" for the platform and for anonymous callers

	// Claims are verified claims by name. Strings, numbers and booleans are decoded as by encoding/json.
	// [Issuers.OIDC] keeps only those named in its configuration, with lists and objects as
	// [encoding/json.RawMessage]; a path into a value that is not an object yields an empty list. Include the claim that
	// ORGA_AUTH_TENANT_CLAIM names: a caller without it may use the default route.
	Claims map[string]any

	// PathSigned means that the credential covers the request's path, and so its tenant: no tenant claim is needed.
	PathSigned bool
}

// Verifier decides whether a request comes from a caller who may mint. To accept another kind of
// credential (App Check, Turnstile, a session cookie), implement one, put it in core.Drivers under a name, and
// add the name to ORGA_AUTH.
//
// Errors choose the answer, and may be wrapped:
//
//   - [ErrNoCredential]: the request has no credential of this kind (401)
//   - [ErrForbidden]: the caller is known and may not mint (403)
//   - [UnavailableError]: the credential cannot be verified now (503)
//   - the error of the request's context: out of time (504)
//   - any other: the credential is invalid (401)
//
// The text of an error is logged, but never sent, and must not contain the credential. Verify is called concurrently and
// should return when the request's context is done.
type Verifier interface {
	Verify(r *http.Request) (Principal, error)
}

// VerifierFunc converts a function to a [Verifier].
type VerifierFunc func(r *http.Request) (Principal, error)

// Verify calls f.
func (f VerifierFunc) Verify(r *http.Request) (Principal, error) { return f(r) }

// Errors of a [Verifier], for [errors.Is].
var (
	// ErrNoCredential is for a request without a credential of the verifier's kind.
	ErrNoCredential = errors.New("no accepted credential")
	// ErrForbidden is for a caller with a valid credential who may not mint.
	ErrForbidden = errors.New("the caller may not mint")
)

// UnavailableError is the error of a [Verifier] that cannot decide because a service that it needs is down.
type UnavailableError struct {
	RetryAfter time.Duration // sent as Retry-After; 0 sends none
	Err        error         // why; must not be nil
}

func (e *UnavailableError) Error() string { return e.Err.Error() }
func (e *UnavailableError) Unwrap() error { return e.Err }
