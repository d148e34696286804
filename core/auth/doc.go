// Package auth decides who may ask for credentials. A mint costs the owner money, so a request without a
// valid credential is refused before anything else is spent on it: no call to Orga, none for its key.
//
// [Require] is middleware for net/http. It asks one [Verifier] after another; any that accepts is enough:
//
//	NewOIDC     a token of an OpenID Connect issuer (Auth0, Cognito, Firebase, Supabase, Clerk, …);
//	            Issuers makes several that share an issuer's keys
//	NewHMAC     a signature by the owner's own backend, made with a shared key
//	Gateway     an identity that the platform in front has verified
//	Anonymous   everybody
//
// or a Verifier of your own: see its example. A tenant claim holds the [Principal] that comes of it to its
// tenant. Refusals are problems of package problem.
//
// Everything here is safe for concurrent use. Time is the wall clock's, since serverless platforms freeze
// instances, and a monotonic clock with them.
package auth
