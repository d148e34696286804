// Package request holds what every request to the endpoint has in common, whichever room answers it:
// its record, its id, the headers of every answer, the body of a refusal and the log line.
package request

import (
	"context"
	"log/slog"
	"time"

	"github.com/orga-session/orga-session/core/problem"
)

// Record describes one request. The rooms that it passes fill it in; it is written as one log line when
// the answer is out. It belongs to the goroutine that serves the request and is not safe for concurrent
// use.
type Record struct {
	RequestID string
	TraceID   string // the platform's trace, "" when there is none

	Tenant    string // "" for the default tenant
	Auth      string // the method that verified the caller, as ORGA_AUTH names it; "" when none did
	Caller    string // a hash of the verified caller's issuer and subject, 32 hex digits; "" for an anonymous one
	TokenHash string // the first 8 bytes of the SHA-256 of the minted token, hex

	Limit         string // the policy that refused the request, as RateLimit names it: caller-86400, tenant
	LimitFallback bool   // limits were counted by this instance alone, since the shared store is down

	Code  string // "ok", or the problem's code
	cause error  // the private half of the problem

	Secret, Token, ICE time.Duration // where the time of a mint went
	Attempts           int           // calls made to Orga
	Quiet              bool          // health checks and preflights: logged at debug only

	steps *slog.Logger // nil where steps are not logged
}

// Refused records a refusal, which is then logged as one even where the answer does not show it. Fail
// calls it for its own.
func (x *Record) Refused(p *problem.Problem) {
	x.Code, x.cause, x.Quiet = string(p.Code), p.Cause, false
}

type recordKey struct{}

// From returns the record of the request that ctx belongs to. Outside of a request it returns a fresh
// one that nobody reads, never nil.
func From(ctx context.Context) *Record {
	if x, ok := ctx.Value(recordKey{}).(*Record); ok {
		return x
	}
	return new(Record)
}
