// Package core is the credential endpoint, whatever platform it runs on.
//
// [Start] is for programs: it reads the settings from the environment and returns an [Endpoint], an
// [http.Handler]. [New] does the same with a [Config] made by hand.
//
//	env := core.Environ(os.Environ())
//	endpoint := core.Start(ctx, env, core.Drivers{
//		Secrets: secret.Drivers{"awssm": awssm.Open(env.Lookup, true)},
//	}, nil)
//	http.ListenAndServe("127.0.0.1:8080", endpoint)
//
// A request passes through, each a package below this one:
//
//	request     id, headers of every answer, recover, log line
//	core        route → method → settings → tenant: that tenant's chain, built at start
//	cors        host, origin, Sec-Fetch-*
//	auth        who asks
//	ratelimit   how often
//	session     body → key → token → ICE servers, in one budget
//	orga        the two calls to Orga; usable alone as a Go SDK
//
// What is cached, by what, for how long:
//
//	secret.Cache       a tenant's key           ORGA_API_KEY_TTL ±20 %; stale for 24 h while its store is down
//	tenants            the tenants' document    the instance's life
//	auth.Issuers       an issuer's keys         10 min, longer while it is down; refetched for an unknown key id
//	                   verified tokens          2 MiB, while the keys and the token last
//	ratelimit.Memory   a caller's count         its period
//	egress.Transport   connections to a host    25 s idle
//
// Tokens and session configs are never cached: each is for one session.
//
// The client's address is RemoteAddr, as net/http has it. Behind a proxy that is the proxy's: an adapter in
// front of the endpoint puts the client's there ([platform.ForwardedAddr] reads it).
package core
