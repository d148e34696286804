package secrettest

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
)

// Leak tells in which form output holds key: plain, hex, base64 (wherever in a longer text it was
// encoded), or as an escaped part of a URL; "" for none. Use a key of 12 characters and more: a part of
// a short one occurs by chance.
func Leak(output, key string) string {
	if strings.Contains(output, key) {
		return "plain text"
	}
	if strings.Contains(strings.ToLower(output), hex.EncodeToString([]byte(key))) {
		return "hex"
	}
	for shift := range 3 {
		// Base64 turns three bytes into four letters: what stands before the key shifts it within the
		// three, and the letters that it shares with its neighbours differ.
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
