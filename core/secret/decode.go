package secret

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/orga-session/orga-session/core/internal/strictjson"
)

// Decoder validates and normalizes the text of a secret, as [DecodeKey] does. Its errors wrap [ErrMalformed]
// and do not repeat the text. It must be safe for concurrent use.
type Decoder func(text string) (string, error)

const byteOrderMark = "\ufeff"

// DecodeKey is the [Decoder] of an API key: one line of printable ASCII without spaces, at most 4 KiB.
// Surrounding white space and a byte order mark are trimmed.
func DecodeKey(text string) (string, error) {
	key := trim(text)
	switch {
	case key == "":
		return "", fmt.Errorf("%w: it is empty", ErrMalformed)
	case len(key) > 4<<10:
		return "", fmt.Errorf("%w: it is larger than 4 KiB", ErrMalformed)
	case key[0] == '{':
		return "", fmt.Errorf("%w: it is a JSON object; name the member that holds the key, such as …#apiKey", ErrMalformed)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return "", fmt.Errorf("%w: it contains a space, a control character or a character outside of ASCII", ErrMalformed)
		}
	}
	return key, nil
}

// DecodeText is the [Decoder] of a document: any text that is not empty. Surrounding white space and a byte
// order mark are trimmed.
func DecodeText(text string) (string, error) {
	if text = trim(text); text == "" {
		return "", fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	return text, nil
}

func trim(text string) string { return strings.TrimSpace(strings.TrimPrefix(text, byteOrderMark)) }

// decoded is a Source whose content passes a Decoder. An unusable value in the environment or in a file
// (local) is a fault of the settings; in a store, the next version may be a good one.
type decoded struct {
	src    Source
	field  string // "" decodes the whole text
	decode Decoder
	local  bool
}

func (d decoded) Fetch(ctx context.Context) (Secret, error) {
	got, err := d.src.Fetch(ctx)
	if err != nil {
		return Secret{}, err
	}
	text := got.Value.Reveal()
	if d.field != "" {
		text, err = member(text, d.field)
	}
	if err == nil {
		text, err = d.decode(text)
	}
	switch {
	case err != nil && d.local:
		return Secret{}, fmt.Errorf("%w: %w", ErrMisconfigured, err)
	case err != nil:
		return Secret{}, err
	}
	return Secret{NewValue(text), got.Version}, nil
}

// member returns the string called field of a JSON object.
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
