// Package exchange holds what every HTTP exchange with the endpoint has in common, whichever room
// answers it: the headers that stand on each answer, the request id, the problem body of a refusal,
// what the platform in front of us says of the caller, and the record that becomes the log line.
//
// It is the leaf that the other rooms may import; it imports none of them.
package exchange

import (
	"context"
	"log/slog"
	"time"
)

// Exchange is the record of one request, filled in by the rooms it passes through and written as one
// log line when the answer is out. It belongs to the goroutine that serves the request: it is not
// safe for concurrent use.
type Exchange struct {
	RequestID string
	TraceID   string // the platform's trace, "" when there is none

	Tenant    string // "" for the default tenant
	Auth      string // by which method the caller is known, as ORGA_AUTH names it; "" when by none
	Subject   string // a hash of the verified subject, "" for an anonymous caller
	TokenHash string // the first 8 bytes of the SHA-256 of the minted token, hex

	Code  string // "ok", or the problem's code
	cause error  // the private half of the problem

	Secret, Token, ICE time.Duration // where the time of a mint went
	Attempts           int           // calls made to Orga
	Quiet              bool          // health checks and preflights: logged at debug only

	steps *slog.Logger // nil where steps are not logged
}

// Refused notes a refusal in the record, which is then logged as one even where the answer says nothing of
// it. Fail notes its own.
func (x *Exchange) Refused(p *Problem) { x.Code, x.cause, x.Quiet = string(p.Code), p.Cause, false }

type exchangeKey struct{}

// From is the record of the request that ctx belongs to. Outside of a request it is a fresh one that
// nobody reads, never nil.
func From(ctx context.Context) *Exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*Exchange); ok {
		return x
	}
	return new(Exchange)
}

// Platform is what the platform in front of the function says of a request. But for the trace, it comes
// from the event's own envelope (requestContext), never from a header that a client could have written.
type Platform struct {
	RequestID string
	TraceID   string    // which the client may have chosen; "" has it looked for in the platforms' headers
	Identity  *Identity // nil when the platform verified nobody
}

// Identity is a caller that the platform itself has verified: an API Gateway authorizer, IAM on a
// Function URL, IAM on Cloud Run.
type Identity struct {
	Subject string         // "" when the platform names nobody in particular
	Issuer  string         // "" when the platform names none
	Claims  map[string]any // claims of a verified token, or nil
}

type platformKey struct{}

// WithPlatform hands p to the rooms behind an adapter.
func WithPlatform(ctx context.Context, p Platform) context.Context {
	return context.WithValue(ctx, platformKey{}, p)
}

// PlatformFrom is the zero Platform where there is none in front.
func PlatformFrom(ctx context.Context) Platform {
	p, _ := ctx.Value(platformKey{}).(Platform)
	return p
}
