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
	// Inside a longer text in base64, a key begins at one of three positions of a group of four
	// characters. What depends on its neighbors is cut off.
	for shift := range 3 {
		padded := append(make([]byte, shift), text...)
		whole := len(padded) / 3 * 4
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			form := []byte(encoding.EncodeToString(padded))[(shift*8+5)/6 : whole]
			if !slices.ContainsFunc(k.forms, func(known []byte) bool { return bytes.Equal(known, form) }) {
				k.forms = append(k.forms, form)
			}
		}
	}
	return k
}

// in reports whether an answer contains the key: as it is, in hex or in base64, and with any of its
// characters escaped as JSON allows.
func (k *apiKey) in(body []byte) bool {
	found := func(text []byte) bool {
		return slices.ContainsFunc(k.forms, func(form []byte) bool { return bytes.Contains(text, form) })
	}
	return found(body) || bytes.IndexByte(body, '\\') >= 0 && found(unescape(body))
}

// partOf reports whether a text contains the key or is a piece of it.
func (k *apiKey) partOf(text string) bool {
	return text != "" && k.text != "" && (strings.Contains(k.text, text) || strings.Contains(text, k.text) || k.in([]byte(text)))
}

// unescape resolves the JSON escapes of printable ASCII characters, the only ones that a key has.
func unescape(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] == '\\' && i+1 < len(body) {
			i++
			if body[i] == 'u' && i+4 < len(body) {
				if r, err := strconv.ParseUint(string(body[i+1:i+5]), 16, 16); err == nil && r < 0x80 {
					out = append(out, byte(r))
					i += 4
					continue
				}
			}
		}
		out = append(out, body[i])
	}
	return out
}
