// Package policy decides what may reach the mint: which web pages, which callers, how often. A mint
// costs the owner money, so everything here is closed until it is told otherwise, and a request that is
// refused costs next to nothing: no call to Orga, none to a secret store.
//
// It is middleware for net/http, put together in this order:
//
//	h := policy.Limit(limiter, quota, tenant)(mint)
//	h = policy.Auth(verifiers, tenantClaim, tenant)(h)
//	h = cors.Mint(h)
//
// # Which pages
//
// A [CORS] knows the origins whose pages may ask. It answers preflights, which carry no credential,
// before anybody is asked for one, and keeps out what browsers send across sites on their own account.
// It is not authentication: a program that is no browser sends whatever Origin it likes.
//
// # Which callers
//
// [Auth] asks one [Verifier] after another; any that accepts is enough. There are
//
//	NewOIDC     a token of an OpenID Connect issuer (Auth0, Cognito, Firebase, Supabase, Clerk, …);
//	            Issuers makes several that share an issuer's keys
//	NewHMAC     a signature by a backend of the owner's, with a shared key
//	Gateway     an identity that the platform in front has verified
//	Anonymous   everybody
//
// and whatever you write yourself: see the example of Verifier. The [Principal] that comes of it
// travels in the request's context; a tenant claim holds it to its tenant.
//
// # How often
//
// [Limit] counts a caller, by verified subject or else by address, with a [Limiter]: [Memory] counts for
// one instance, package redislimit for all of them, and [Degrade] makes the former stand in while the
// latter's store is out.
//
// Every refusal is a problem of package exchange. Everything here is safe for concurrent use. Time is
// the wall clock's, since serverless platforms freeze instances, and a monotonic clock with them.
package policy
