package standin

import (
	"bytes"
	"errors"
	"strings"
)

var (
	errNoToken = errors.New("the answer has no token of the stand-in's")
	errNotOurs = errors.New("the ICE credential does not belong to the token")
)

// Check tells whether an answer of an endpoint is whole: a token of the stand-in's, and beside it the
// credential that the stand-in gave for that very token. It looks for the texts rather than parse the
// JSON, to leave the core to the measurement.
func Check(body []byte) error {
	token := numberOf(textAfter(body, `"ephemeralToken":"`), tokenPrefix)
	if token == "" {
		return errNoToken
	}
	if numberOf(textAfter(body, `"credential":"`), credentialPrefix) != token {
		return errNotOurs
	}
	return nil
}

// CheckCalls is Check for a client that made the two calls itself.
func CheckCalls(token string, ice []byte) error {
	number := numberOf(token, tokenPrefix)
	if number == "" {
		return errNoToken
	}
	if numberOf(textAfter(ice, `"credential":"`), credentialPrefix) != number {
		return errNotOurs
	}
	return nil
}

// Token is the token in the answer to a mint; "" when there is none.
func Token(body []byte) string { return textAfter(body, `"ephemeral_token":"`) }

// textAfter is the JSON string that begins after prefix; "" when prefix is nowhere.
func textAfter(body []byte, prefix string) string {
	_, rest, found := bytes.Cut(body, []byte(prefix))
	end := bytes.IndexByte(rest, '"')
	if !found || end < 0 {
		return ""
	}
	return string(rest[:end])
}

// numberOf is the number inside of a token or a credential; "" when it is none of the stand-in's.
func numberOf(text, prefix string) string {
	number, ok := strings.CutPrefix(text, prefix)
	if !ok || len(number) < numberLen {
		return ""
	}
	return number[:numberLen]
}
