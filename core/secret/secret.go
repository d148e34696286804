// Package secret brings a secret from where it is kept to the one line that uses it, and keeps it no
// longer than it may. A Source fetches; a Cache is a Source with a memory; a Value shows itself to
// nobody who does not ask with Reveal. Standard library only: a store with a client of its own
// (awssm, gcpsm) is a package of its own, so that a binary links only the one it uses.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Value is a secret text. However it is printed, encoded or logged, alone or inside another struct,
// it shows "[redacted]". It is immutable and safe for concurrent use. The zero Value is empty.
//
// It is a closure because fmt reads the unexported fields of a struct without asking for its String
// method; a function it can only print as an address.
type Value struct{ reveal func() string }

const redacted = "[redacted]"

// NewValue keeps s from view.
func NewValue(s string) Value { return Value{func() string { return s }} }

// Reveal is the secret itself.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

func (v Value) String() string               { return redacted }
func (v Value) GoString() string             { return redacted }
func (v Value) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (v Value) LogValue() slog.Value         { return slog.StringValue(redacted) }

// Version tells one content of a secret from the next. It is the store's own version id, or a
// fingerprint where the store has none; it is opaque, holds no part of the secret and may be logged.
type Version string

// Secret is a value and the version it came as.
type Secret struct {
	Value   Value
	Version Version
}

// Source is where a secret is kept. Fetch asks the store once: the attempts of a client underneath
// count as one. It honours ctx, is safe for concurrent use, and its errors are one of the kinds below
// (errors.Is) with a text that holds nothing of the secret or of what the store said about it.
type Source interface {
	Fetch(ctx context.Context) (Secret, error)
}

// SourceFunc is a Source of a function.
type SourceFunc func(ctx context.Context) (Secret, error)

// Fetch calls f.
func (f SourceFunc) Fetch(ctx context.Context) (Secret, error) { return f(ctx) }

// Kinds of errors of a [Source]. An error that is none of these is an outage, and passes.
var (
	// ErrPermanent: the store refuses until somebody changes something there: access denied, not found,
	// deleted, disabled.
	ErrPermanent = errors.New("refused by the store")
	// ErrMalformed: the store answered, but not with a usable secret.
	ErrMalformed = errors.New("unusable secret")
	// ErrMisconfigured: only a change of the settings, or of the file that they name, can help.
	ErrMisconfigured = errors.New("invalid setting")
)

// FetchError reports that no secret is at hand, and when to ask again.
type FetchError struct {
	RetryAfter time.Duration // at least a second
	Err        error         // what the last fetch returned
}

func (e *FetchError) Error() string { return "no secret at hand: " + e.Err.Error() }
func (e *FetchError) Unwrap() error { return e.Err }

// Retryable reports whether the secret may be available after RetryAfter without anybody's help. It is
// not after a refusal for good, an unusable secret or an invalid setting.
func (e *FetchError) Retryable() bool { return passes(e.Err) }

// passes reports whether what caused err may pass by itself.
func passes(err error) bool {
	return !errors.Is(err, ErrPermanent) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrMisconfigured)
}
