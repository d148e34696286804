package secret

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/core/internal/strictjson"
)

// Open returns the [Source] named by a setting, such as "awssm:orga-key#apiKey". drivers are keyed by scheme; env and file
// need none. lookup reads the environment ([os.LookupEnv] in a program) for env: sources. Open fetches nothing; its errors
// are faults of the setting and wrap [ErrMisconfigured].
//
// The Source's text has no surrounding white space and no byte order mark. Empty text is unusable, as is text that check
// refuses; a nil check accepts any other. The errors of check wrap [ErrMalformed] and do not repeat the text.
func Open(setting string, drivers map[string]Driver, lookup func(string) (string, bool), check func(text string) error) (Source, error) {
	ref, err := ParseRef(setting)
	if err != nil {
		return nil, err
	}
	src := opened{field: ref.Field, check: check}
	switch driver := drivers[ref.Scheme]; {
	case ref.Scheme == "env":
		src.src, src.local = envSource(ref.Name, lookup), true
	case ref.Scheme == "file":
		src.src, err = fileSource(ref.Name)
		src.local = true
	case driver != nil:
		src.src, err = driver(ref)
	default:
		err = fmt.Errorf("%w: unknown scheme; this program knows %s", ErrMisconfigured, schemes(drivers))
	}
	if err != nil {
		return nil, err
	}
	return src, nil
}

// schemes lists the available schemes.
func schemes(drivers map[string]Driver) string {
	return strings.Join(append(slices.Sorted(maps.Keys(drivers)), "env", "file"), ":, ") + ":"
}

// opened is a Source with checked content. Unusable content of the environment or of a file (local) is a fault of the
// settings; in a store, the next version may be usable.
type opened struct {
	src   Source
	field string                  // "" for the whole text
	check func(text string) error // nil for none
	local bool
}

func (o opened) Fetch(ctx context.Context) (Secret, error) {
	got, err := o.src.Fetch(ctx)
	if err != nil {
		return Secret{}, err
	}
	text, err := o.read(got.Value.Reveal())
	switch {
	case err != nil && o.local:
		return Secret{}, fmt.Errorf("%w: %w", ErrMisconfigured, err)
	case err != nil:
		return Secret{}, err
	}
	return Secret{NewValue(text), got.Version}, nil
}

const byteOrderMark = "\ufeff"

// read extracts the secret from the store's content.
func (o opened) read(text string) (string, error) {
	if o.field != "" {
		var err error
		if text, err = member(text, o.field); err != nil {
			return "", err
		}
	}
	if text = strings.TrimSpace(strings.TrimPrefix(text, byteOrderMark)); text == "" {
		return "", fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	if o.check == nil {
		return text, nil
	}
	return text, o.check(text)
}

// member returns a string member of a JSON object.
func member(text, field string) (string, error) {
	members, err := strictjson.Parse([]byte(strings.TrimPrefix(text, byteOrderMark)))
	if errors.Is(err, strictjson.ErrNotObject) {
		return "", fmt.Errorf("%w: want a JSON object with a member %q", ErrMalformed, field)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	value, ok := members.Get(field)
	if !ok {
		return "", fmt.Errorf("%w: its JSON has no member %q", ErrMalformed, field)
	}
	member, ok := strictjson.String(value)
	if !ok {
		return "", fmt.Errorf("%w: its member %q must be a string", ErrMalformed, field)
	}
	return member, nil
}
