// Package auth decides which callers may mint. A mint costs the owner money, so a request without a valid
// credential is refused before anything else is spent on it: no call to Orga, no fetch of its key.
//
// [Require] is middleware for net/http. It tries one [Method] after another; any that accepts is enough:
//
//	Issuers.OIDC   a token of an OpenID Connect issuer (Auth0, Cognito, Entra, Firebase, Supabase, Clerk, …)
//	HMAC           a signature by the owner's own backend, made with [SignRequest] and a shared key
//	Gateway        an identity that the platform in front has verified
//	Anonymous      everybody
//
// or a [Verifier] of your own. A [TenantClaim] ties callers to their tenant. Refusals are problems of
// package problem.
//
// Everything here is safe for concurrent use. Times are the wall clock's, because serverless platforms
// freeze instances, and a monotonic clock with them.
package auth
