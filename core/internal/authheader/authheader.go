// Package authheader has the two schemes of the Authorization header: [Bearer], and [HMAC] with what is signed.
// Package auth signs with it, and package access verifies.
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

// Credential returns what follows scheme in the Authorization header; false when there is no such header,
// or more than one: choosing one would be a guess.
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
