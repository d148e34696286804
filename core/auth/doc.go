// Package auth has what authenticates callers, for programs that add to it, and for backends that sign requests.
//
// A [Verifier] accepts a kind of credential; core.Drivers takes those of a program, by the names that ORGA_AUTH
// uses for them. [Issuers] makes one for the tokens of an OpenID Connect issuer, to be combined with others. The
// endpoint has its own for oidc, hmac, gateway and anonymous.
//
// [SignRequest] is the caller's half of hmac.
//
// Everything here is safe for concurrent use. Times are read from the wall clock, because a monotonic clock
// stops while a serverless platform freezes the instance.
package auth
