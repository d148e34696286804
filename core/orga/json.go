package orga

import (
	"bytes"
	"encoding/json"
	"iter"
)

// The functions of this file walk JSON that json.Valid has accepted, in which nothing is left to check.
// encoding/json would match names without regard to case, which a browser does not, and would validate
// each value once more that it hands out as raw JSON.

// member is one member of an object, in the bytes that were sent.
type member struct {
	name  []byte // without quotes and escapes
	value []byte
	raw   []byte // name, colon and value
}

// members are the members of an object, in their order; none for a value of another type.
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
			at = space(object, space(object, end)+1) // over the colon
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

// elements are the elements of an array; none for a value of another type.
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

// document is the one value of an answer, without white space around it; false if the answer is not JSON.
func document(body []byte) ([]byte, bool) {
	if !json.Valid(body) {
		return nil, false
	}
	at := space(body, 0)
	return body[at:valueEnd(body, at)], true
}

// space is the position of the first byte from at on that is not white space.
func space(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\n' || b[at] == '\r' || b[at] == '\t') {
		at++
	}
	return at
}

// valueEnd is the position after the value that begins at at.
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

// text is the text of a JSON string, "" for a value of another type.
func text(value []byte) string {
	if len(value) == 0 || value[0] != '"' {
		return ""
	}
	if inner := value[1 : len(value)-1]; !escaped(inner) {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(value, &s) // it is a valid string
	return s
}

func isNull(value []byte) bool { return string(value) == "null" }
