// Package auth is for programs that add authentication methods, and for backends that sign requests.
//
// A [Verifier] accepts one kind of credential. A program passes its verifiers in core.Drivers, under the names used in
// ORGA_AUTH. [Issuers] creates verifiers for tokens of OpenID Connect issuers, for use in other verifiers. The endpoint
// has its own for oidc, hmac, gateway and anonymous.
//
// [SignRequest] signs requests for hmac.
//
// Everything here is safe for concurrent use. Times are wall clock times, because the monotonic clock stops while a
// serverless platform freezes the instance.
package auth
