// Package secret defines the interface of secret stores, and [Value], a string that does not print.
//
// A setting such as "awssm:orga-key#apiKey" is a [Ref]; the [Driver] of its scheme opens it as a [Source]. The endpoint
// validates the content, caches it and picks up rotations, so a Source does none of these. The schemes env: and file: are
// built in. Other stores are drivers in separate packages, such as awssm, so that a program links only those that it
// imports. To write another, implement [Driver] and run the tests of secrettest.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Value is a secret string. Printed, encoded or logged, even inside another value, it is "[redacted]";
// only [Value.Reveal] returns the string. It is immutable and safe for concurrent use. The zero Value
// is empty.
//
// It is a closure because fmt prints unexported fields without calling their String method, but prints only the address of
// a function.
type Value struct{ reveal func() string }

const redacted = "[redacted]"

// NewValue returns a Value that holds s.
func NewValue(s string) Value { return Value{func() string { return s }} }

// Reveal returns the secret string.
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

// Version identifies one content of a secret: the store's own version ID, or a [Fingerprint] if the store has none. It is
// opaque, contains no part of the secret and may be logged.
type Version string

// Secret is a value and its version.
type Secret struct {
	Value   Value
	Version Version
}

// Source fetches one secret from its store.
type Source interface {
	// Fetch asks the store once; retries of the underlying client count as one. It must be safe for concurrent use and
	// should end with ctx. Its errors wrap one of the Err… kinds, or are outages; their texts contain nothing from the
	// secret or the store's answer, except an error code.
	Fetch(ctx context.Context) (Secret, error)
}

// SourceFunc converts a function to a [Source].
type SourceFunc func(ctx context.Context) (Secret, error)

// Fetch calls f.
func (f SourceFunc) Fetch(ctx context.Context) (Secret, error) { return f(ctx) }

// Kinds of errors of a [Source], for [errors.Is]. Any other error is an outage, which may be temporary.
var (
	// ErrPermanent means that the store will refuse until its owner acts: access denied, or the secret is not
	// found, deleted or disabled.
	ErrPermanent = errors.New("refused by the store")
	// ErrMalformed means that the store answered, but not with a usable secret.
	ErrMalformed = errors.New("unusable secret")
	// ErrMisconfigured means that a setting, or the file that it names, must be changed.
	ErrMisconfigured = errors.New("invalid setting")
)
