package authheader

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
)

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// IsKey reports whether s has the form of a key of [HMAC].
func IsKey(s string) bool { return len(s) >= 32 && strings.Trim(s, alphanumeric+"+/=_-") == "" }

// Signature returns sig in raw form: HMAC-SHA256(key, METHOD "\n" PATH "\n" ts "\n" sub). Without a subject, its newline
// is omitted too.
func Signature(key, method, path, ts, subject string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	message := method + "\n" + path + "\n" + ts
	if subject != "" {
		message += "\n" + subject
	}
	_, _ = io.WriteString(mac, message) // a hash never fails
	return mac.Sum(nil)
}

// IsSubject reports whether s is valid as a subject in the header. A comma or a newline in it would make signatures
// ambiguous.
func IsSubject(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, alphanumeric+"._~:@|+-") == ""
}

// SentPath returns the path as the client sent it, escapes and stage prefix included.
func SentPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // a request that no server has parsed, or one in absolute form
		return cmp.Or(r.URL.EscapedPath(), "/")
	}
	return path
}
