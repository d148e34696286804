package session

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/orga"
)

const (
	maxAttempts  = 3                      // of one call
	attemptLimit = 3 * time.Second        // of one attempt, while another could follow
	firstBackoff = 100 * time.Millisecond // ±50 %, three times as long before each further attempt
	minRemaining = 250 * time.Millisecond // another attempt is made only with this much time left after a short wait
	// minRemainingLong applies after a wait that Orga named: with less time, the token minted then would have no time
	// for its ICE call.
	minRemainingLong = time.Second

	// reserve is what an attempt leaves to later ones, at most half of a small budget: a new connection (two round
	// trips), the mint and the ICE call, over a long distance.
	reserve = 1500 * time.Millisecond
	// maxMargin is withheld from a budget so that callers get their answer 500 ms before the time is up; 50 ms are for
	// writing it and for the network.
	maxMargin = 550 * time.Millisecond
)

// Budget bounds a request: at most total from now, or ctx's deadline (the platform's) if that is earlier, less a margin
// (550 ms, or a quarter of a small budget) for writing the answer.
func Budget(ctx context.Context, total time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		total = min(total, time.Until(deadline))
	}
	return context.WithTimeout(ctx, total-min(maxMargin, total/4))
}

// retry makes a call, and repeats it while that may help and the budget allows: at most three attempts, none of which may
// use up what the next would need.
func retry[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	for n := 1; ; n++ {
		request.From(ctx).Attempts++
		attempt, cancel := attemptContext(ctx, n)
		v, err := call(attempt)
		cancel()
		if err == nil || n == maxAttempts || ctx.Err() != nil {
			return v, err
		}
		wait, need, again := backoff(err, n)
		if deadline, ok := ctx.Deadline(); !again || ok && time.Until(deadline) < wait+need {
			return v, err
		}
		request.Logger(ctx).LogAttrs(ctx, slog.LevelDebug, "waiting for another attempt",
			slog.Float64("wait_ms", float64(wait.Microseconds())/1000), slog.String("cause", err.Error()))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return v, err
		}
	}
}

// attemptContext bounds attempt n within ctx's time.
func attemptContext(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == maxAttempts {
		return context.WithCancel(ctx)
	}
	left := time.Until(deadline)
	return context.WithTimeout(ctx, min(attemptLimit, max(left-reserve, left/2)))
}

// backoff returns whether an error may be temporary, how long to wait, and how much time must remain after the wait. If
// Orga names a delay, it waits that long plus jitter, because other clients got the same delay. A 429 without a
// delay is not retried, while a 503 without one is treated like a 500.
func backoff(err error, n int) (wait, need time.Duration, again bool) {
	e, ok := errors.AsType[*orga.Error](err)
	if !ok {
		return 0, 0, false
	}
	switch {
	case retryLater(e):
		return e.RetryAfter + rand.N(firstBackoff), minRemainingLong, e.RetryAfter > 0
	case errors.Is(err, orga.ErrServer), errors.Is(err, orga.ErrConnection), errors.Is(err, orga.ErrTimeout):
		wait = firstBackoff
		for range n - 1 {
			wait *= 3
		}
		return time.Duration(float64(wait) * (0.5 + rand.Float64())), minRemaining, true
	}
	return 0, 0, false
}

// retryLater reports whether Orga asked to retry later: 429, or 503 with a delay.
func retryLater(e *orga.Error) bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable && e.RetryAfter > 0
}
