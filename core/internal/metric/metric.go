// Package metric names the metrics, for the packages that log them and for those that extract them from log lines
// (lambdahttp for CloudWatch, telemetry for OpenTelemetry).
//
// A line counts something if it has the attribute [Key], or if it is a request's line ([RequestLine]). It counts at any
// log level: the handler that extracts metrics wraps the one that drops lines, and is enabled from [Level] on.
package metric

import (
	"log/slog"
	"strings"
)

// Key is the attribute whose value is the name of the counter that a line increments:
//
//	log.Warn("secret fetch failed", metric.Key, metric.SecretFetchFailed)
const Key = "metric"

// Level is the lowest level at which lines count.
const Level = slog.LevelInfo

// Counters. Requests, ColdStarts and the limit counters except TenantBudgetLow come from request lines, the others from [Key].
const (
	Requests                     = "requests"
	ColdStarts                   = "cold_starts"
	SecretFetchFailed            = "secret_fetch_failed"
	SecretFetchFailedPermanently = "secret_fetch_failed_permanently" // also counted as SecretFetchFailed
	SecretRotated                = "secret_rotated"
	ShortLivedTokens             = "short_lived_tokens"
	RateLimitFallback            = "rate_limit_fallback"
	CallerLimited                = "caller_limited" // refused by a caller's quota
	TenantLimited                = "tenant_limited" // refused by a tenant's budget
	TenantBudgetLow              = "tenant_budget_low"
)

// Counters lists all counters.
var Counters = []string{Requests, ColdStarts, SecretFetchFailed, SecretFetchFailedPermanently, SecretRotated, ShortLivedTokens, RateLimitFallback, CallerLimited, TenantLimited, TenantBudgetLow}

// RequestLine is the message of a request's line. Health checks and preflights have a different one.
const RequestLine = "request"

// Attributes of a request's line. The first two are OpenTelemetry's.
const (
	ErrorType     = "error.type" // the code of the problem; absent after a success
	ColdStart     = "faas.coldstart"
	Limit         = "limit" // the policy that refused: caller, caller-86400, tenant
	LimitFallback = "limit_fallback"
	TotalMS       = "total_ms"
	TokenMS       = "token_ms"
	ICEMS         = "ice_ms"
)

// Reading has the metrics of a line.
type Reading struct {
	Counters     []string
	Milliseconds []string // attributes of the line
	Code         string   // the outcome: "ok" or the problem's code; "" if the line is not a request's
}

// Read returns the metrics of a line; ok is false if it has none.
func Read(r slog.Record) (reading Reading, ok bool) {
	isRequest := r.Message == RequestLine
	if isRequest {
		reading.Counters, reading.Code = append(reading.Counters, Requests), "ok"
	}
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key == Key:
			name := a.Value.String()
			reading.Counters = append(reading.Counters, name)
			if name == SecretFetchFailedPermanently {
				reading.Counters = append(reading.Counters, SecretFetchFailed)
			}
		case !isRequest:
		case a.Key == ErrorType:
			reading.Code = a.Value.String()
		case a.Key == ColdStart:
			reading.Counters = append(reading.Counters, ColdStarts)
		case a.Key == Limit && strings.HasPrefix(a.Value.String(), "tenant"):
			reading.Counters = append(reading.Counters, TenantLimited)
		case a.Key == Limit:
			reading.Counters = append(reading.Counters, CallerLimited)
		case a.Key == LimitFallback:
			reading.Counters = append(reading.Counters, RateLimitFallback)
		case a.Key == TotalMS, a.Key == TokenMS, a.Key == ICEMS:
			reading.Milliseconds = append(reading.Milliseconds, a.Key)
		}
		return true
	})
	return reading, len(reading.Counters) > 0
}
