package orga

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"
)

// These functions walk JSON that json.Valid has accepted, so they validate nothing. encoding/json would match names
// case-insensitively, which browsers do not, and would validate each raw value again.

// member is one member of an object, as the bytes that were sent.
type member struct {
	name  []byte // without quotes and escapes
	value []byte
	raw   []byte // name, colon and value
}

// members returns the members of an object in order; none for any other type.
func members(object []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		if len(object) == 0 || object[0] != '{' {
			return
		}
		for at := space(object, 1); object[at] != '}'; {
			start, end := at, valueEnd(object, at)
			name := object[start+1 : end-1]
			if escaped(name) {
				name = []byte(text(object[start:end]))
			}
			at = space(object, space(object, end)+1) // past the colon
			end = valueEnd(object, at)
			if !yield(member{name, object[at:end], object[start:end]}) {
				return
			}
			if at = space(object, end); object[at] == ',' {
				at = space(object, at+1)
			}
		}
	}
}

// elements returns the elements of an array; none for any other type.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(array) == 0 || array[0] != '[' {
			return
		}
		for at := space(array, 1); array[at] != ']'; {
			end := valueEnd(array, at)
			if !yield(array[at:end]) {
				return
			}
			if at = space(array, end); array[at] == ',' {
				at = space(array, at+1)
			}
		}
	}
}

// document returns the value of an answer without surrounding white space; false if the answer is not valid JSON in UTF-8.
func document(body []byte) ([]byte, bool) {
	if !json.Valid(body) || !utf8.Valid(body) { // encoding/json would replace what is not UTF-8
		return nil, false
	}
	at := space(body, 0)
	return body[at:valueEnd(body, at)], true
}

// space returns the position of the first byte from at on that is not white space.
func space(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\n' || b[at] == '\r' || b[at] == '\t') {
		at++
	}
	return at
}

// valueEnd returns the position after the value that begins at at.
func valueEnd(b []byte, at int) int {
	switch b[at] {
	case '"':
		return stringEnd(b, at)
	case '{', '[':
		for depth := 0; ; at++ {
			switch b[at] {
			case '"':
				at = stringEnd(b, at) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return at + 1
				}
			}
		}
	}
	for at < len(b) && b[at] != ',' && b[at] != '}' && b[at] != ']' && space(b, at) == at {
		at++
	}
	return at
}

func stringEnd(b []byte, at int) int {
	for at++; b[at] != '"'; at++ {
		if b[at] == '\\' {
			at++
		}
	}
	return at + 1
}

func escaped(s []byte) bool { return bytes.IndexByte(s, '\\') >= 0 }

// text returns the text of a JSON string, "" for any other type.
func text(value []byte) string {
	if len(value) == 0 || value[0] != '"' {
		return ""
	}
	if inner := value[1 : len(value)-1]; !escaped(inner) {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(value, &s) // valid JSON never fails
	return s
}

func isNull(value []byte) bool { return string(value) == "null" }
