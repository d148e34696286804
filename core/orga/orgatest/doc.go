// Package orgatest is an Orga API for tests and benchmarks. It listens on 127.0.0.1, mints tokens that open
// nothing, and fails on request.
//
//	api := orgatest.New(t)
//	client := api.NewClient()
//	api.Fail(orga.CallMint, orgatest.Status(503, "", "Retry-After", "1"))
//
// An [API] is an [http.Handler] and works without a test, too. In a testing/synctest bubble, where a real
// socket would hold the clock still, use [Pipe]. A [Proxy] in front of any server cuts, resets and silences
// connections. [MintDrifts], [ICEDrifts], [BadMints], [BadICE] and [ErrorBodies] are tables of what the API
// has answered, or must be expected to answer.
package orgatest
