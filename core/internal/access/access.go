// Package access authenticates callers. A mint costs money, so a request without a valid credential is refused before
// the endpoint fetches a key or calls Orga.
//
// [Require] is middleware that tries each [Method] in turn; one that accepts is enough:
//
//	OIDC        a token of an OpenID Connect issuer (Auth0, Cognito, Entra, Firebase, Supabase, Clerk, …)
//	HMAC        a signature by the user's own backend, made with [auth.SignRequest] and a shared key
//	Gateway     an identity verified by the platform
//	Anonymous   everybody
//
// or a custom [auth.Verifier]. A [TenantClaim] ties callers to their tenant.
//
// The verifier of tokens is in package auth, because programs use it in their own verifiers. What only the endpoint needs
// is here: its other methods, the tenant claim, and the answers.
package access

import (
	"net/http"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/authheader"
)

// Method is an [auth.Verifier] with a name for the log.
type Method struct {
	Name   string // as in ORGA_AUTH: oidc, hmac, …
	Scheme string // the scheme for WWW-Authenticate, such as Bearer; "" names none
	auth.Verifier
}

// Anonymous accepts every request, without a subject. Limits then count by address.
func Anonymous() Method {
	return Method{Name: "anonymous", Verifier: auth.VerifierFunc(func(*http.Request) (auth.Principal, error) { return auth.Principal{}, nil })}
}

// OIDC accepts callers with a token of an issuer: see [auth.Issuers.OIDC].
func OIDC(issuers *auth.Issuers, cfg auth.OIDCConfig) (Method, error) {
	v, err := issuers.OIDC(cfg)
	return Method{Name: "oidc", Scheme: authheader.Bearer, Verifier: v}, err
}
