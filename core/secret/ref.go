package secret

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Ref is a parsed source setting, "scheme:name" or "scheme:name#field". It is not secret.
type Ref struct {
	Scheme string // env, file, or a driver's
	Name   string // what the scheme's store calls it
	Field  string // the member of a JSON secret; "" for a plain one
}

// keyPrefix is what Orga's permanent keys begin with.
const keyPrefix = "sk_orga_ai_"

// ParseRef parses a source setting. Its errors do not repeat the text, since pasting a key in place of a
// source is a common mistake; a key is refused even where it could be a name.
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
		return Ref{}, fmt.Errorf("%w: want SCHEME:NAME, such as env:NAME, file:/path, awssm:NAME-or-ARN, gcpsm:projects/P/secrets/S or cloudflare:BINDING", ErrMisconfigured)
	case field && ref.Field == "":
		return Ref{}, fmt.Errorf("%w: want the name of a JSON member after the #", ErrMisconfigured)
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

// Driver opens the sources of one scheme, without fetching anything. Its errors are faults of the settings
// and wrap [ErrMisconfigured]. The Source returns the text unchanged; [Drivers.Open] decodes it.
type Driver func(ref Ref) (Source, error)

// Drivers are the stores that a program links, by scheme. The schemes env and file need no driver.
type Drivers map[string]Driver

// Open returns the [Source] that a setting names, such as "awssm:orga-key#apiKey", with its content passed
// through decode. lookup reads the environment ([os.LookupEnv] in a program) for env: sources. Nothing is
// fetched yet; errors are faults of the setting and wrap [ErrMisconfigured].
func (d Drivers) Open(setting string, lookup func(string) (string, bool), decode Decoder) (Source, error) {
	ref, err := ParseRef(setting)
	if err != nil {
		return nil, err
	}
	src := decoded{field: ref.Field, decode: decode}
	switch driver := d[ref.Scheme]; {
	case ref.Scheme == "env":
		src.src, src.local = envSource(ref.Name, lookup), true
	case ref.Scheme == "file":
		src.src, err = fileSource(ref.Name)
		src.local = true
	case driver != nil:
		src.src, err = driver(ref)
	default:
		err = fmt.Errorf("%w: unknown scheme; this program knows %s", ErrMisconfigured, d.schemes())
	}
	if err != nil {
		return nil, err
	}
	return src, nil
}

// schemes lists the schemes that a source may have.
func (d Drivers) schemes() string {
	return strings.Join(append(slices.Sorted(maps.Keys(d)), "env", "file"), ":, ") + ":"
}
