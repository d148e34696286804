package secret

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Ref is a parsed source setting, "scheme:name" or "scheme:name#field".
type Ref struct {
	Scheme string // env, file, or a driver's
	Name   string // what the scheme's store calls it
	Field  string // the member of a JSON secret; "" for a plain one
}

// keyPrefix is what Orga's permanent keys begin with.
const keyPrefix = "sk_orga_ai_"

// ParseRef reads a source setting. Its errors do not repeat the text: a key pasted where a source
// belongs is a common mistake, and refused even where it could be a name.
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
		return Ref{}, fmt.Errorf("%w: it holds a key, rather than the place where one is kept", ErrMisconfigured)
	case !found || ref.Name == "":
		return Ref{}, fmt.Errorf("%w: a source is written env:NAME, file:/path, awssm:NAME-or-ARN or gcpsm:projects/P/secrets/S", ErrMisconfigured)
	case field && ref.Field == "":
		return Ref{}, fmt.Errorf("%w: the name of a JSON member follows the # of a source", ErrMisconfigured)
	}
	return ref, nil
}

func (r Ref) String() string {
	s := r.Scheme + ":" + r.Name
	if r.Field != "" {
		s += "#" + r.Field
	}
	return s
}

// Driver opens the sources of one scheme, each handing out a secret as the store has it. It reads no
// secret yet: it fails only for what is wrong with the settings (ErrMisconfigured).
type Driver func(ref Ref) (Source, error)

// Drivers are the stores that a program links, by scheme. env and file need none.
type Drivers map[string]Driver

// Open turns a source setting into a Source of secrets in the given shape. lookup reads the
// environment, for env:. Nothing is fetched yet; an error is one of the settings (ErrMisconfigured).
func (d Drivers) Open(setting string, lookup func(string) (string, bool), shape Shape) (Source, error) {
	ref, err := ParseRef(setting)
	if err != nil {
		return nil, err
	}
	s := shaped{field: ref.Field, shape: shape}
	switch driver := d[ref.Scheme]; {
	case ref.Scheme == "env":
		s.src, s.local = Env(ref.Name, lookup), true
	case ref.Scheme == "file":
		s.src, err = File(ref.Name)
		s.local = true
	case driver != nil:
		s.src, err = driver(ref)
	default:
		err = fmt.Errorf("%w: this program knows the sources %s", ErrMisconfigured, d.known())
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (d Drivers) known() string {
	return strings.Join(append(slices.Sorted(maps.Keys(d)), "env", "file"), ":, ") + ":"
}
