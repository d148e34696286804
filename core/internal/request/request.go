// Package request holds what all requests to the endpoint share: their record and ID, the headers of every answer, error
// bodies and the log line.
package request

import (
	"context"
	"log/slog"
	"time"

	"github.com/orga-session/orga-session/core/internal/problem"
)

// Record describes one request. The packages that handle the request fill it in, and it is logged as one line after the
// answer. It belongs to the request's goroutine and is not safe for concurrent use.
type Record struct {
	RequestID string
	TraceID   string // the platform's trace; "" if there is none
	SpanID    string // the span in it; "" if unknown

	Tenant string // "" for the default tenant
	Origin string // of the page, if it is allowed; else ""
	Auth   string // the method of ORGA_AUTH that verified the caller; "" for none
	Issuer string // the issuer of the caller's token; "" for hmac, the platform or an anonymous caller
	Caller string // a hash of the verified caller's issuer and subject, 32 hex digits; "" for an anonymous one

	Limit         string // the policy that refused the request, as RateLimit names it: caller-86400, tenant
	LimitFallback bool   // this instance counted alone, because the shared store is down

	Secret, Token, ICE time.Duration // durations of the parts of a mint
	Attempts           int           // calls made to Orga
	TokenHash          string        // the first 8 bytes of the minted token's SHA-256, in hex
	TokenExpires       time.Time     // zero if unknown
	OrgaRequestID      string        // Orga's ID of the last call; "" if it sent none

	Quiet bool // for health checks and preflights: logged at debug level, and not counted as a request

	refused *problem.Problem // why the request was refused; nil if it was served
	log     *slog.Logger
}

// Refuse records why the request is refused, for the log and the metrics, even if the answer does not show it. Fail
// calls it.
func (x *Record) Refuse(p *problem.Problem) { x.refused = p }

type recordKey struct{}

// scope is the context of a request, with what Handler would otherwise allocate separately.
type scope struct {
	context.Context
	record Record
	answer answer
	id     [1]string
}

func (s *scope) Value(key any) any {
	if key == (recordKey{}) {
		return &s.record
	}
	return s.Context.Value(key)
}

// From returns the record of ctx's request. Outside of a request it returns a new record that nobody reads, never nil.
func From(ctx context.Context) *Record {
	if x, ok := ctx.Value(recordKey{}).(*Record); ok {
		return x
	}
	return new(Record)
}

// Logger returns the logger of ctx's request. Pass ctx to its methods, so that lines have the request's ID; packages use it
// to trace their steps at debug level. Outside of a request it is slog.Default().
func Logger(ctx context.Context) *slog.Logger {
	if log := From(ctx).log; log != nil {
		return log
	}
	return slog.Default()
}
