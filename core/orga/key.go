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

// minSought is the minimum length of a key to search for: a shorter one could occur by chance.
const minSought = len(KeyPrefix) + 1

var errKeyRepeated = errors.New("it repeats the API key")

// apiKey is a permanent key, with the forms that an answer must not contain.
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
	// Base64 encodes three bytes as four characters. Inside a longer text, a key may begin at any of the three bytes;
	// characters that depend on its neighbors are cut off.
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

// in reports whether an answer, which is valid JSON, contains the key: in raw, hex or base64 form, with any of its
// characters escaped.
func (k *apiKey) in(answer []byte) bool {
	found := func(text []byte) bool {
		return slices.ContainsFunc(k.forms, func(form []byte) bool { return bytes.Contains(text, form) })
	}
	return found(answer) || escaped(answer) && found(unescape(answer))
}

// partOf reports whether a text without escapes contains the key, or is a part of it.
func (k *apiKey) partOf(text string) bool {
	return text != "" && k.text != "" && (strings.Contains(k.text, text) || strings.Contains(text, k.text) || k.in([]byte(text)))
}

// unescape resolves the JSON escapes of printable ASCII characters, the only ones in a key. It may garble other escapes.
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
