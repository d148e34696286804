package secrettest

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
)

// Leak returns the form in which output contains key: plain text, hex, base64 (also within a longer encoded text) or
// URL-escaped; "" if it does not. Use a key of at least 12 characters, because the encoding of a shorter one may occur by
// chance.
func Leak(output, key string) string {
	if strings.Contains(output, key) {
		return "plain text"
	}
	if strings.Contains(strings.ToLower(output), hex.EncodeToString([]byte(key))) {
		return "hex"
	}
	for shift := range 3 {
		// Base64 encodes three bytes as four characters, so the encoding depends on the key's offset within these three bytes.
		// Characters shared with its neighbors are omitted.
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + key))
		encoded = encoded[(shift*8+5)/6:]
		encoded = encoded[:len(encoded)-1]
		if strings.Contains(output, encoded) || strings.Contains(output, strings.NewReplacer("+", "-", "/", "_").Replace(encoded)) {
			return "base64"
		}
	}
	if escaped := url.QueryEscape(key); strings.Contains(output, escaped) {
		return "an escaped URL"
	}
	return ""
}
