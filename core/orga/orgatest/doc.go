// Package orgatest is a fake Orga API for tests and benchmarks. It listens on 127.0.0.1, mints tokens that the real API
// would not accept, and fails on request.
//
//	api := orgatest.New(t)
//	client := api.NewClient()
//	api.Fail(orga.CallMint, orgatest.Status(503, "", "Retry-After", "1"))
//
// An [API] is an [http.Handler], and also works without a test. In a testing/synctest bubble, where a real socket would
// stop the clock, use [Pipe]. A [Proxy] in front of any server cuts, resets and silences connections. [MintDrifts],
// [ICEDrifts], [BadMints] and [BadICE] are tables of answers that the API has given, or may give.
package orgatest
