// Package request holds what every request to the endpoint has in common, whichever package answers it:
// its record, its id, the headers of every answer, the body of a refusal and the log line.
package request

import (
	"context"
	"log/slog"
	"time"

	"github.com/orga-session/orga-session/core/internal/problem"
)

// Record describes one request. The packages that it passes fill it in; it is written as one log line when
// the answer is out. It belongs to the goroutine that serves the request and is not safe for concurrent
// use.
type Record struct {
	RequestID string
	TraceID   string // the platform's trace, "" when there is none
	SpanID    string // the span in it, "" when unknown

	Tenant string // "" for the default tenant
	Origin string // of the page that asks, "" without one that is allowed
	Auth   string // the method that verified the caller, as ORGA_AUTH names it; "" when none did
	Issuer string // who vouches for the caller; "" for us, the platform or nobody
	Caller string // a hash of the verified caller's issuer and subject, 32 hex digits; "" for an anonymous one

	Limit         string // the policy that refused the request, as RateLimit names it: caller-86400, tenant
	LimitFallback bool   // limits were counted by this instance alone, since the shared store is down

	Secret, Token, ICE time.Duration // where the time of a mint went
	Attempts           int           // calls made to Orga
	TokenHash          string        // the first 8 bytes of the SHA-256 of the minted token, hex
	TokenExpires       time.Time     // zero when unknown
	OrgaRequestID      string        // Orga's own id of the last call, "" when it gave none

	Quiet bool // health checks and preflights: logged at debug only, and not counted as requests

	refused *problem.Problem // why the request was not served; nil when it was
	log     *slog.Logger
}

// Refuse records why the request is not served. It is then logged and counted, even where the answer does not
// show it. Fail calls it.
func (x *Record) Refuse(p *problem.Problem) { x.refused = p }

type recordKey struct{}

// From returns the record of the request that ctx belongs to. Outside of a request it returns a fresh
// one that nobody reads, never nil.
func From(ctx context.Context) *Record {
	if x, ok := ctx.Value(recordKey{}).(*Record); ok {
		return x
	}
	return new(Record)
}

// Logger returns the logger of the request that ctx belongs to, whose lines carry the request's id if ctx is
// given to them: packages trace their steps with it, at debug. Outside of a request it is slog.Default().
func Logger(ctx context.Context) *slog.Logger {
	if log := From(ctx).log; log != nil {
		return log
	}
	return slog.Default()
}
