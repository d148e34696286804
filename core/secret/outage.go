package secret

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// Outage is the error of a Source whose store could not be asked; err is what the client that tried
// came back with. Its text keeps only what this side knows, an address or a time that ran out: a
// client may quote what the other side sent. errors.Is finds the errors of a context.
func Outage(err error) error {
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
