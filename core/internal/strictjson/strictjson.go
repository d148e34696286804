// Package strictjson parses JSON objects whose members must be known and unique. [encoding/json] matches names
// case-insensitively and keeps the last of duplicate members, which would allow smuggling values into documents with
// secrets or settings.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// Member is one member of a JSON object.
type Member struct {
	Name  string          // exact, escapes resolved
	Value json.RawMessage // valid JSON; nested objects may still have duplicate members
}

// Members are the members of a JSON object in document order, with unique names.
type Members []Member

// Get returns the value of the member with this exact name, and reports whether it exists.
func (m Members) Get(name string) (json.RawMessage, bool) {
	for _, member := range m {
		if member.Name == name {
			return member.Value, true
		}
	}
	return nil, false
}

// Errors of [Parse]. Their texts do not repeat the document.
var (
	ErrNotObject = errors.New("must be a JSON object")
	ErrSyntax    = errors.New("invalid JSON")
)

// DuplicateError reports members that appear more than once. Its text omits the names, which may be misplaced secrets.
type DuplicateError struct {
	Names []string // each name once
}

func (e *DuplicateError) Error() string { return "duplicate JSON member" }

// Parse parses data, which must be a single JSON object. The error is [ErrNotObject], [ErrSyntax] or a [*DuplicateError];
// with the latter it also returns the members, the first of each name.
func Parse(data []byte) (Members, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, ErrNotObject
	}
	var members Members
	var duplicates []string
	seen := make(map[string]int)
	for dec.More() {
		token, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return nil, ErrSyntax
		}
		name := token.(string) // always a string for a key
		switch seen[name]++; seen[name] {
		case 1:
			members = append(members, Member{name, value})
		case 2:
			duplicates = append(duplicates, name)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, ErrSyntax
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrSyntax
	}
	if duplicates != nil {
		return members, &DuplicateError{duplicates}
	}
	return members, nil
}

// String decodes a JSON string, and reports whether value is one; null is not.
func String(value json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(value, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}
