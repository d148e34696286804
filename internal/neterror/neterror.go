// Package neterror describes failed calls of other servers without those servers' own texts. net/http, crypto/x509 and
// go-redis quote what a server sent: without a bound, and a credential may be part of it.
package neterror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
)

// described is an error with another text.
type described struct {
	text  string
	cause error // nil if it must not be found
}

func (e *described) Error() string { return e.text }
func (e *described) Unwrap() error { return e.cause }

var (
	errEnded      = &described{"closed before the complete answer arrived", io.ErrUnexpectedEOF}
	errUnreadable = errors.New("the answer is unreadable, or ended early")
)

// Describe returns what this side knows of a client's error: addresses, what the system or the check of the certificate
// reported, an expired deadline. The text is bounded, and has nothing that the server sent. [errors.Is] finds the errors of a
// context and [io.ErrUnexpectedEOF], and [errors.AsType] a [*net.OpError] or a [*tls.CertificateVerificationError].
func Describe(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &described{"the certificate is not trusted: " + untrusted(e.Err), e}
	}
	switch netErr, ok := errors.AsType[net.Error](err); {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case ok && netErr.Timeout(): // including context.DeadlineExceeded
		return context.DeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errEnded
	}
	return errUnreadable
}

// untrusted says why a certificate is not trusted. The texts of crypto/x509 have its names.
func untrusted(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "it is for another host"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its authority is unknown"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "it has expired, or is not valid yet"
	}
	return "it is invalid"
}
