// Package auth authenticates callers. A mint costs money, so a request without a valid credential is refused
// before the endpoint fetches a key or calls Orga.
//
// [Require] is middleware for net/http. It tries each [Method] in turn; one that accepts is enough:
//
//	Issuers.OIDC   a token of an OpenID Connect issuer (Auth0, Cognito, Entra, Firebase, Supabase, Clerk, …)
//	HMAC           a signature by your own backend, made with [SignRequest] and a shared key
//	Gateway        an identity verified by the platform
//	Anonymous      everybody
//
// or a custom [Verifier]. A [TenantClaim] ties callers to their tenant.
//
// Everything here is safe for concurrent use. Times are read from the wall clock, because a monotonic clock
// stops while a serverless platform freezes the instance.
package auth
