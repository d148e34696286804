// Package orgatest is an Orga API for tests and benchmarks: it listens on 127.0.0.1, mints tokens that
// open nothing, and misbehaves on request.
//
//	api := orgatest.New(t)
//	client := api.NewClient()
//	api.Fail(orga.CallMint, orgatest.Status(503, "", "Retry-After", "1"))
//
// An API is an http.Handler and needs no test around it. In a testing/synctest bubble, where a real
// socket would hold the clock still, use Pipe. A Proxy in front of any server cuts, resets and swallows
// connections. MintDrifts, ICEDrifts, BadMints, BadICE and ErrorBodies
// are tables of what the API has been seen, or must be expected, to say.
package orgatest
