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
// All I/O of a request must happen in that request's own context, so every job carries the ID of its request in its
// [context.Context]. A context that does not come from a request or from Background has no ID: its jobs are run by any
// current request or, if there is none, by the next one.
//
// A handler sees a request as net/http's own server would create it, with these differences:
//
//   - RemoteAddr is CF-Connecting-IP, which Cloudflare sets, with port 0.
//   - The path has been normalized by the runtime.
//   - [platform.Info] has the Ray ID, and whether the client used https.
//   - A Cloudflare Access token (Cf-Access-Jwt-Assertion) is copied to Authorization if that is absent.
//   - The answer is sent in one piece when the handler returns. There is no streaming.
//
// The package builds for js/wasm only.
//
// [platform.Info]: https://pkg.go.dev/github.com/orga-session/orga-session/core/platform#Info
package workers
