package session

import (
	"context"
	"errors"
	"time"

	"github.com/orga-session/orga-session/core/exchange"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/secret"
)

// problem is the one place where what went wrong becomes what the client is told.
func problem(ctx context.Context, err error) *exchange.Problem {
	if out, ok := errors.AsType[*secret.UnavailableError](err); ok {
		return SecretProblem(out)
	}
	e, ok := errors.AsType[*orga.Error](err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return exchange.Refuse(exchange.ClientGone, err)
	case ctx.Err() != nil, errors.Is(err, orga.ErrTimeout), !ok:
		return exchange.Refuse(exchange.Timeout, err)
	case keyRefused(err):
		return exchange.Refuse(exchange.UpstreamAuthFailed, err)
	case comeBack(e):
		const unsaid = 5 * time.Second
		delay := e.RetryAfter
		if delay == 0 {
			delay = unsaid
		}
		return &exchange.Problem{Code: exchange.UpstreamRateLimited, RetryAfter: capped(delay), Cause: err}
	}
	return exchange.Refuse(exchange.UpstreamError, err)
}

// SecretProblem is the refusal for a secret that is not at hand: Misconfigured where only the owner
// can mend it, else SecretUnavailable with the time until the store is asked again.
func SecretProblem(out *secret.UnavailableError) *exchange.Problem {
	if errors.Is(out, secret.ErrMisconfigured) {
		return exchange.Refuse(exchange.Misconfigured, out)
	}
	return &exchange.Problem{Code: exchange.SecretUnavailable, RetryAfter: capped(out.RetryAfter), Cause: out}
}

// capped keeps a delay that we pass on between a second and two minutes: a day, from an upstream that
// is confused, would be taken at its word.
func capped(d time.Duration) time.Duration { return min(max(d, time.Second), 2*time.Minute) }
