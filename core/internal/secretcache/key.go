package secretcache

import (
	"fmt"
	"strings"

	"github.com/orga-session/orga-session/core/secret"
)

// CheckKey validates an API key for [secret.Open]: one line of printable ASCII without spaces, at most 4 KiB.
func CheckKey(key string) error {
	switch {
	case len(key) > 4<<10:
		return fmt.Errorf("%w: it is larger than 4 KiB", secret.ErrMalformed)
	case strings.HasPrefix(key, "{"):
		return fmt.Errorf("%w: it is a JSON object; name the member that holds the key, such as …#apiKey", secret.ErrMalformed)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%w: it contains a space, a control character or a character outside of ASCII", secret.ErrMalformed)
	}
	return nil
}
