// Package platform passes a platform's metadata of a request to the endpoint: its IDs, whether the client used TLS, and
// the caller verified by the platform. An adapter sets it with [With]; the endpoint reads it with [From].
// [ForwardedAddr] and [ParseAddr] determine a client's address.
package platform

import "context"

// Info is the platform's metadata of one request. Except for TraceID, it comes from the event's envelope
// (requestContext), never from a header that a client could have written.
type Info struct {
	RequestID string
	TraceID   string    // may be chosen by the client; if "", the endpoint reads the platforms' trace headers
	SpanID    string    // the span in that trace, 16 hex digits; "" if unknown
	HTTPS     bool      // the client reached the platform over TLS
	LocalOnly bool      // the server listens on a loopback address, so only programs on this machine can connect
	Identity  *Identity // nil if the platform verified no caller
}

// Identity is a caller verified by the platform: by an API Gateway authorizer, or by IAM on a Function URL
// or Cloud Run.
type Identity struct {
	Subject string         // "" if the platform names no particular caller
	Issuer  string         // "" if the platform names none
	Claims  map[string]any // claims of a verified token, or nil
}

type key struct{}

// With returns a context that carries info to the endpoint behind an adapter.
func With(ctx context.Context, info Info) context.Context {
	return context.WithValue(ctx, key{}, info)
}

// From returns what With put into ctx, or the zero Info.
func From(ctx context.Context) Info {
	info, _ := ctx.Value(key{}).(Info)
	return info
}
