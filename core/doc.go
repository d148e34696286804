// Package core is the credential endpoint, the same on every platform: it holds the permanent API key of Orga, and mints a
// session config for each caller who may have one.
//
// [Start] is for programs: it reads the settings from the environment and returns an [Endpoint], an
// [http.Handler]. [New] does the same with a [Config] made by hand.
//
//	env := core.Environ(os.Environ())
//	endpoint := core.Start(ctx, env, core.Drivers{
//		Secrets: map[string]secret.Driver{"awssm": awssm.Open(env.Lookup, true)},
//	}, nil)
//	http.ListenAndServe("127.0.0.1:8080", endpoint)
//
// A request passes through these packages:
//
//	request     id, headers of every answer, recover, log line
//	core        route → method → settings → tenant: that tenant's chain, built at start
//	cors        host, origin, Sec-Fetch-*
//	access      authentication
//	throttle    quotas of callers and tenants
//	session     body → key → token → ICE servers, in one budget
//	orga        the two calls to Orga; usable alone as a Go SDK
//
// Caches and their lifetimes:
//
//	a tenant's key           ORGA_API_KEY_TTL ±20 %; stale for 24 h while its store is down
//	the tenants' document    the life of the instance
//	an issuer's keys         10 min, longer while it is down; refetched for an unknown key ID
//	verified tokens          2 MiB, while the keys and the token last
//	a caller's count         its period
//	connections to a host    25 s idle
//
// Tokens and session configs are never cached: each is for one session.
//
// The client's address is the request's RemoteAddr. Behind a proxy, that is the proxy's address, so wrap the endpoint in a
// handler that sets it to the client's (see [platform.ForwardedAddr]).
//
// [platform.ForwardedAddr]: https://pkg.go.dev/github.com/orga-session/orga-session/core/platform#ForwardedAddr
package core
