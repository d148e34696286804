// Package workers lets a Go program, compiled to WebAssembly, serve the requests of a Cloudflare Worker. Its other half
// is cloudflare/host.mjs, which does the I/O.
//
//	func main() {
//		e := core.Start(workers.Background(), workers.Env(), core.Drivers{
//			Secrets:   map[string]secret.Driver{"cloudflare": workers.SecretsStore},
//			Transport: workers.Transport,
//		}, nil)
//		workers.Serve(e)
//	}
//
// All I/O of a request must happen in that request's own context, so every job carries the id of its request
// in its [context.Context]. A context that does not come from a request or from Background has none; its jobs are
// done by any request that is there, and wait for the next one when there is none.
//
// A handler sees a request as net/http's own server would have made it, with these differences:
//
//   - RemoteAddr is CF-Connecting-IP, with port 0. Cloudflare writes that header itself.
//   - The path has been normalized by the runtime.
//   - [platform.Info] has the Ray id, and says whether the client used https.
//   - A token of Cloudflare Access (Cf-Access-Jwt-Assertion) stands in Authorization when that is absent.
//   - The answer leaves in one piece when the handler returns. There is no streaming.
//
// The package builds for js/wasm only.
//
// [platform.Info]: https://pkg.go.dev/github.com/orga-session/orga-session/core/platform#Info
package workers
