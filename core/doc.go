// Package core is the credential endpoint, whatever platform it runs on: New turns settings into an
// http.Handler.
//
//	cfg := core.ConfigFromEnv(os.LookupEnv)
//	handler, err := core.New(ctx, cfg, core.Drivers{Secrets: secret.Drivers{"awssm": awssm.Open(os.LookupEnv, true)}})
//
// A request passes these rooms, each a package:
//
//	exchange   request id, the headers of every answer, recover, one log line
//	core       route → method → settings → the tenant's chain, built at start
//	policy     CORS and Sec-Fetch → auth → limit
//	session    body → key → token → ICE servers, within one budget
//	orga       the two calls themselves; usable alone as a Go SDK
//
// What is remembered, by what key, for how long:
//
//	secret.Cache       the key of a tenant     ORGA_API_KEY_TTL ±20 %; stale for 24 h while its store is out
//	directory          the tenants             the instance's life
//	auth.Issuers     an issuer's keys        10 min, longer while it is out; refetched for an unknown key id, every 30 s at most
//	                   a token that held       2 MiB of them, twice, while the keys and the token last
//	ratelimit.Memory      a caller's count        its period
//	transport          connections to a host   25 s idle
//
// Tokens and session configs are never remembered: each is for one session.
//
// A program that makes an endpoint calls SetDefault first: what net/http itself logs may quote the key.
//
// The address of the client is RemoteAddr, as net/http has it. Behind a proxy that is the proxy's: an
// adapter in front of the handler puts the trusted one there (platform.ForwardedAddr).
package core
