package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/secret"
)

// refusal maps an error of a mint to its Problem.
func refusal(ctx context.Context, err error) *problem.Problem {
	if _, ok := errors.AsType[*secretcache.FetchError](err); ok {
		return SecretProblem(err)
	}
	e, ok := errors.AsType[*orga.Error](err)
	if ok {
		request.From(ctx).OrgaRequestID = e.RequestID
	}
	switch {
	case ctx.Err() != nil, errors.Is(err, orga.ErrTimeout), !ok:
		return problem.New(problem.Timeout, err)
	case errors.Is(err, orga.ErrUserEmail):
		return problem.New(problem.UpstreamError, fmt.Errorf("ORGA_USER_EMAIL: %w", err))
	case keyRefused(err):
		return problem.New(problem.UpstreamAuthFailed, err)
	case retryLater(e):
		const defaultDelay = 5 * time.Second
		delay := e.RetryAfter
		if delay == 0 {
			delay = defaultDelay
		}
		return &problem.Problem{Code: problem.UpstreamRateLimited, RetryAfter: capped(delay), Cause: err}
	}
	return problem.New(problem.UpstreamError, err)
}

// SecretProblem returns the refusal for the error of a [secretcache.Cache]: Misconfigured if only the owner can fix it,
// SecretUnavailable with the time until the next fetch, or Timeout if it is the context's.
func SecretProblem(err error) *problem.Problem {
	out, ok := errors.AsType[*secretcache.FetchError](err)
	switch {
	case !ok:
		return problem.New(problem.Timeout, err)
	case errors.Is(err, secret.ErrMisconfigured):
		return problem.New(problem.Misconfigured, err)
	}
	return &problem.Problem{
		Code: problem.SecretUnavailable, RetryAfter: capped(out.RetryAfter), Permanent: !out.Retryable(), Cause: err,
	}
}

// capped limits a delay for callers to between a second and two minutes, because they would obey even a day from a confused
// upstream.
func capped(d time.Duration) time.Duration { return min(max(d, time.Second), 2*time.Minute) }
