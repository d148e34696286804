// Package authheader parses the schemes [Bearer] and [HMAC] of the Authorization header, and computes HMAC signatures.
// Package auth reads tokens and signs requests with it, and package access verifies signatures.
package authheader

import (
	"net/http"
	"strings"
)

// The schemes.
const (
	Bearer = "Bearer"
	HMAC   = "Orga-HMAC"
)

// Credential returns the text after scheme in the Authorization header; false if there is no such header, or several,
// because choosing one would be a guess.
func Credential(h http.Header, scheme string) (string, bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	name, rest, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(name, scheme) {
		return "", false
	}
	return strings.TrimLeft(rest, " "), true
}
