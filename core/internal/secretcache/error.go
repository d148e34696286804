package secretcache

import (
	"errors"
	"time"

	"github.com/orga-session/orga-session/core/secret"
)

// FetchError is the error of a [Cache] without a usable value: when it fetches again, and why the last fetch
// failed.
type FetchError struct {
	RetryAfter time.Duration // at least a second
	Err        error         // of the last fetch, after the cache's name
}

func (e *FetchError) Error() string { return "no usable secret: " + e.Err.Error() }
func (e *FetchError) Unwrap() error { return e.Err }

// Retryable reports whether the secret may become available without anybody's help: false after
// [secret.ErrPermanent], [secret.ErrMalformed] and [secret.ErrMisconfigured].
func (e *FetchError) Retryable() bool { return passes(e.Err) }

// passes reports whether what caused err may pass by itself.
func passes(err error) bool {
	return !errors.Is(err, secret.ErrPermanent) && !errors.Is(err, secret.ErrMalformed) && !errors.Is(err, secret.ErrMisconfigured)
}
