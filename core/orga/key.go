package orga

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// minSought is the length below which a key is not searched for: it would be found by chance.
const minSought = len(KeyPrefix) + 1

var errKeyRepeated = errors.New("it repeats the API key")

// apiKey is a permanent key, and the forms in which an answer must not contain it.
type apiKey struct {
	text  string
	forms [][]byte
}

func newAPIKey(text string) *apiKey {
	k := &apiKey{text: text}
	if len(text) < minSought {
		return k
	}
	sum := hex.EncodeToString([]byte(text))
	k.forms = [][]byte{[]byte(text), []byte(sum), bytes.ToUpper([]byte(sum))}
	// Base64 makes four characters of three bytes. Inside a longer text, a key begins with the first, the
	// second or the third of them; characters that depend on its neighbors are cut off.
	for before, start := range []int{0, 2, 3} {
		padded := append(make([]byte, before), text...)
		whole := len(padded) / 3 * 4
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			form := []byte(encoding.EncodeToString(padded))[start:whole]
			if !slices.ContainsFunc(k.forms, func(known []byte) bool { return bytes.Equal(known, form) }) {
				k.forms = append(k.forms, form)
			}
		}
	}
	return k
}

// in reports whether an answer, which is valid JSON, contains the key: as it is, in hex or in base64, and
// with any of its characters escaped.
func (k *apiKey) in(answer []byte) bool {
	found := func(text []byte) bool {
		return slices.ContainsFunc(k.forms, func(form []byte) bool { return bytes.Contains(text, form) })
	}
	return found(answer) || escaped(answer) && found(unescape(answer))
}

// partOf reports whether a text, in which no character is escaped, contains the key or is a piece of it.
func (k *apiKey) partOf(text string) bool {
	return text != "" && k.text != "" && (strings.Contains(k.text, text) || strings.Contains(text, k.text) || k.in([]byte(text)))
}

// unescape resolves the JSON escapes of printable ASCII characters, the only ones that a key has. What it
// makes of others is no part of a key.
func unescape(answer []byte) []byte {
	out := make([]byte, 0, len(answer))
	for i := 0; i < len(answer); i++ {
		c := answer[i]
		if c == '\\' {
			i++
			if c = answer[i]; c == 'u' {
				r, _ := strconv.ParseUint(string(answer[i+1:i+5]), 16, 16)
				c = byte(min(r, 0x80))
				i += 4
			}
		}
		out = append(out, c)
	}
	return out
}
