// Package platform holds what the platform in front of the endpoint says of a request: its ids, whether
// the client used TLS, and the caller that the platform itself has verified. An adapter writes it with
// [With], the endpoint reads it with [From]. It also has the two ways to read a client's address.
//
// It is data alone: it imports nothing but the standard library, and reads no header by itself.
package platform

import "context"

// Info is what the platform says of one request. But for TraceID, it comes from the event's own envelope
// (requestContext), never from a header that a client could have written.
type Info struct {
	RequestID string
	TraceID   string    // may be the client's choice; "" makes the endpoint look into the platforms' headers
	SpanID    string    // the span in that trace, 16 hex digits; "" when unknown
	HTTPS     bool      // the client reached the platform over TLS
	Identity  *Identity // nil when the platform verified nobody
}

// Identity is a caller verified by the platform: an API Gateway authorizer, IAM on a
// Function URL, IAM on Cloud Run.
type Identity struct {
	Subject string         // "" when the platform names nobody in particular
	Issuer  string         // "" when the platform names none
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
