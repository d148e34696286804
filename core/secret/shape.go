package secret

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Shape turns the text a store holds into the text that is used, or says (without repeating any of
// it) why it cannot be. Its errors wrap ErrMalformed.
type Shape func(text string) (string, error)

const byteOrderMark = "\ufeff"

// Key is the shape of an API key: one line of at most 4 KiB. The byte order mark and the line break
// that editors and `echo` leave behind are trimmed; anything inside that no HTTP header could carry
// is refused.
func Key(text string) (string, error) {
	key := strings.TrimSpace(strings.TrimPrefix(text, byteOrderMark))
	switch {
	case key == "":
		return "", fmt.Errorf("%w: it is empty", ErrMalformed)
	case len(key) > 4<<10:
		return "", fmt.Errorf("%w: it is larger than 4 KiB", ErrMalformed)
	case key[0] == '{':
		return "", fmt.Errorf("%w: it is a JSON object; name the member that holds the key, as in …#apiKey", ErrMalformed)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return "", fmt.Errorf("%w: it holds a blank, a control character or one outside of ASCII", ErrMalformed)
		}
	}
	return key, nil
}

// Text is the shape of a document: its byte order mark is trimmed, and it is not empty.
func Text(text string) (string, error) {
	text = strings.TrimSpace(strings.TrimPrefix(text, byteOrderMark))
	if text == "" {
		return "", fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	return text, nil
}

// shaped is a Source whose content is brought into shape. What is wrong in the environment or in a
// file only its owner can mend (local); what is wrong in a store may be mended by its next version.
type shaped struct {
	src   Source
	field string
	shape Shape
	local bool
}

func (s shaped) Fetch(ctx context.Context) (Secret, error) {
	got, err := s.src.Fetch(ctx)
	if err != nil {
		return Secret{}, err
	}
	text := got.Value.Reveal()
	if s.field != "" {
		text, err = member(text, s.field)
	}
	if err == nil {
		text, err = s.shape(text)
	}
	switch {
	case err != nil && s.local:
		return Secret{}, fmt.Errorf("%w: %w", ErrMisconfigured, err)
	case err != nil:
		return Secret{}, err
	}
	return Secret{NewValue(text), got.Version}, nil
}

// member picks one string out of a JSON object. The object's members must be unique: of two with one
// name, which is meant is anybody's guess.
func member(text, field string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, byteOrderMark)))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return "", fmt.Errorf("%w: it is no JSON object, yet #%s is asked for", ErrMalformed, field)
	}
	broken := fmt.Errorf("%w: its JSON does not parse", ErrMalformed)
	members := make(map[string]json.RawMessage)
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return "", broken
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return "", broken
		}
		if _, twice := members[name.(string)]; twice {
			return "", fmt.Errorf("%w: its JSON has a member twice", ErrMalformed)
		}
		members[name.(string)] = value
	}
	if _, err := dec.Token(); err != nil {
		return "", broken
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", broken
	}
	raw, ok := members[field]
	if !ok {
		return "", fmt.Errorf("%w: its JSON has no member %q", ErrMalformed, field)
	}
	var value *string
	if json.Unmarshal(raw, &value) != nil || value == nil {
		return "", fmt.Errorf("%w: its member %q is no string", ErrMalformed, field)
	}
	return *value, nil
}
