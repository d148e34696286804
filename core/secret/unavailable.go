package secret

import (
	"context"
	"errors"
	"fmt"

	"github.com/orga-session/orga-session/internal/neterror"
)

// Unavailable returns the error for a Source that could not reach its store; err is the error of its client. The text has
// only facts from this side, such as an address or an expired deadline, because clients quote the server's answer.
// [errors.Is] finds errors of the context.
func Unavailable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the store did not answer in time: %w", context.DeadlineExceeded)
	}
	return neterror.Describe(err)
}
