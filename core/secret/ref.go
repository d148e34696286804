package secret

import (
	"fmt"
	"strings"
)

// Ref is a parsed source setting, "scheme:name" or "scheme:name#field". It is not secret.
type Ref struct {
	Scheme string // env, file, or a driver's
	Name   string // the name in the scheme's store
	Field  string // the member of a JSON secret; "" for the whole secret
}

// keyPrefix starts Orga's permanent keys.
const keyPrefix = "sk_orga_ai_"

// ParseRef parses a source setting. Its errors do not repeat the text, because pasting a key instead of a source is a
// common mistake. It refuses a key even if it could be a name.
func ParseRef(s string) (Ref, error) {
	scheme, name, found := strings.Cut(s, ":")
	ref := Ref{Scheme: scheme, Name: name}
	i := strings.LastIndexByte(name, '#')
	field := i >= 0 && scheme != "env"
	if field {
		ref.Name, ref.Field = name[:i], name[i+1:]
	}
	switch {
	case strings.Contains(s, keyPrefix):
		return Ref{}, fmt.Errorf("%w: it contains a key; name the place where the key is kept", ErrMisconfigured)
	case !found || ref.Name == "":
		return Ref{}, fmt.Errorf("%w: want SCHEME:NAME, such as env:NAME, file:/path or awssm:NAME", ErrMisconfigured)
	case field && ref.Field == "":
		return Ref{}, fmt.Errorf("%w: want the name of a JSON member after the #", ErrMisconfigured)
	}
	return ref, nil
}

// Driver opens the sources of one scheme, without fetching anything. Its errors are faults of the settings and wrap
// [ErrMisconfigured]. The Source returns the content unchanged; [Open] extracts the field.
type Driver func(ref Ref) (Source, error)
