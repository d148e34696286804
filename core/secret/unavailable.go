package secret

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// Unavailable returns the error for a Source that could not reach its store; err is the error of its client. The text has
// only facts from this side, such as an address or an expired deadline, because clients quote the server's answer.
// [errors.Is] finds errors of the context.
func Unavailable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the store did not answer in time: %w", context.DeadlineExceeded)
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("the store's certificate is not trusted")
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	return errors.New("the connection to the store broke")
}
