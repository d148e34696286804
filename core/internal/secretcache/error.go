package secretcache

import (
	"errors"
	"time"

	"github.com/orga-session/orga-session/core/secret"
)

// FetchError is the error of a [Cache] without a usable value: when it will fetch again, and why the last fetch failed.
type FetchError struct {
	RetryAfter time.Duration // at least one second
	Err        error         // of the last fetch, with the cache's name
}

func (e *FetchError) Error() string { return "no usable secret: " + e.Err.Error() }
func (e *FetchError) Unwrap() error { return e.Err }

// Retryable reports whether the secret may become available by itself: false after [secret.ErrPermanent],
// [secret.ErrMalformed] and [secret.ErrMisconfigured].
func (e *FetchError) Retryable() bool { return passes(e.Err) }

// passes reports whether the cause of err may be temporary.
func passes(err error) bool {
	return !errors.Is(err, secret.ErrPermanent) && !errors.Is(err, secret.ErrMalformed) && !errors.Is(err, secret.ErrMisconfigured)
}
