package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/orga-session/orga-session/core/internal/strictjson"
)

const (
	// maxToken bounds a token, in bytes; a token with many groups has about 12,000.
	maxToken = 16 << 10
	// maxHeaderMembers bounds the members of a token's header; Entra's have six.
	maxHeaderMembers = 32
	// maxDate bounds the times of a token to the year 9999. Far later times overflow in a time.Time, and may become past ones.
	maxDate = 253_402_300_799
)

var (
	errTokenForm      = errors.New("oidc: not a JWT: three parts of base64url with a JSON object in the first two")
	errTokenEncrypted = errors.New("oidc: the token is encrypted (JWE), and only the issuer can read it; apps get a signed one by asking for an audience")
	errTokenAlgorithm = errors.New("oidc: the token is not signed with an asymmetric algorithm (RS, PS, ES, EdDSA)")
	errTokenIssuer    = errors.New("oidc: the token's iss is not the configured issuer")
	errTokenAudience  = errors.New("oidc: the token is for another audience")
	errTokenKind      = errors.New("oidc: not a token to call with: a refresh, logout or event token, or one that is bound to a key (cnf)")
	errTokenSubject   = errors.New("oidc: the token's sub is neither a valid string nor a number")
	errTokenExpired   = errors.New("oidc: the token has expired or has no exp")
	errTokenEarly     = errors.New("oidc: the token is not valid yet")
)

// token is a parsed JWT whose signature has not been checked.
type token struct {
	raw       string
	jws       *jose.JSONWebSignature
	algorithm jose.SignatureAlgorithm
	keyID     string // "" if it has none
	claims    strictjson.Members
}

// checkForm cheaply refuses a token that is too large or does not have a JWT's three parts.
func checkForm(raw string) error {
	if len(raw) > maxToken {
		return fmt.Errorf("oidc: the token is too large: %d bytes, more than %d", len(raw), maxToken)
	}
	switch strings.Count(raw, ".") {
	case 2:
		return nil
	case 4: // RFC 7516, section 3.1
		return errTokenEncrypted
	}
	return errTokenForm
}

// parseToken parses a compact JWT that has passed checkForm. It accepts only one encoding: base64 with other spare bits,
// padding or line breaks decodes to the same bytes, and would make many tokens of one.
func parseToken(raw string) (*token, error) {
	if strings.ContainsAny(raw, "\r\n") { // the decoder would skip these
		return nil, errTokenForm
	}
	var parts [3][]byte
	for i, part := range strings.SplitN(raw, ".", len(parts)) {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return nil, errTokenForm
		}
		parts[i] = decoded
	}
	if err := checkHeader(parts[0]); err != nil {
		return nil, err
	}
	claims, err := strictjson.Parse(parts[1])
	if err != nil {
		return nil, errTokenForm
	}
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, errTokenAlgorithm
	}
	if err != nil {
		return nil, errTokenForm
	}
	header := jws.Signatures[0].Protected
	t := &token{raw: raw, jws: jws, algorithm: jose.SignatureAlgorithm(header.Algorithm), keyID: header.KeyID, claims: claims}
	if _, critical := header.ExtraHeaders["crit"]; critical { // extensions that must be understood (RFC 7515, section 4.1.11)
		return nil, errTokenForm
	}
	if typ, ok := header.ExtraHeaders[jose.HeaderType].(string); ok && !isType(typ) || !t.isCredential() {
		return nil, errTokenKind
	}
	return t, nil
}

// checkHeader refuses a header that would take far more memory than its size: go-jose decodes every member of it.
func checkHeader(header []byte) error {
	members, err := strictjson.Parse(header)
	if err != nil || len(members) > maxHeaderMembers {
		return errTokenForm
	}
	for _, m := range members {
		if nested := m.Value[0] == '{' || m.Value[0] == '['; nested && m.Name != "jwk" && m.Name != "x5c" {
			return errTokenForm
		}
	}
	return nil
}

// isType reports whether a token with this typ may be an access or ID token. A typ ending in +jwt names a purpose (RFC
// 8725, section 3.11); the only accepted one is an access token's (RFC 9068).
func isType(typ string) bool {
	typ, _, _ = strings.Cut(strings.TrimPrefix(strings.ToLower(typ), "application/"), ";") // a media type may have parameters
	typ = strings.TrimSpace(typ)
	return !strings.HasSuffix(typ, "+jwt") || typ == "at+jwt"
}

// isCredential reports whether the claims are those of a token that grants access without further proof.
func (t *token) isCredential() bool {
	if events, _ := t.claims.Get("events"); len(events) > 0 && events[0] == '{' {
		return false // a security event (RFC 8417); older logout tokens have no separate typ
	}
	if cnf, ok := t.claims.Get("cnf"); ok && string(cnf) != "null" {
		return false // requires proof of a client key (RFC 7800)
	}
	for _, name := range []string{"token_use", "token_type", "typ"} { // Cognito, simplejwt, Keycloak
		switch use, _ := t.text(name); strings.ToLower(use) {
		case "refresh", "refresh_token", "offline", "logout":
			return false
		}
	}
	return true
}

// unverified returns the error for a token whose signature matches no key.
func (t *token) unverified() error {
	return fmt.Errorf("oidc: no key of the issuer matches the signature; the token has the key id %.64q", t.keyID)
}

// text returns a string claim.
func (t *token) text(name string) (string, bool) {
	raw, _ := t.claims.Get(name)
	return strictjson.String(raw)
}

// subject returns sub, with a number as its digits; "" if there is none.
func (t *token) subject() (string, error) {
	raw, ok := t.claims.Get("sub")
	if !ok || string(raw) == "null" {
		return "", nil
	}
	if s, ok := strictjson.String(raw); ok {
		if strings.ContainsRune(s, utf8.RuneError) { // invalid UTF-8 or half a surrogate pair, to which other subjects would decode, too
			return "", errTokenSubject
		}
		return s, nil
	}
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return "", errTokenSubject
	}
	return string(raw), nil
}

// audiences returns the audiences in aud; false if there is no aud.
func (t *token) audiences() ([]string, bool) {
	raw, ok := t.claims.Get("aud")
	if !ok || string(raw) == "null" {
		return nil, false
	}
	if s, ok := strictjson.String(raw); ok {
		return []string{s}, true
	}
	var list []*string
	if json.Unmarshal(raw, &list) != nil {
		return nil, true
	}
	audiences := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return nil, true
		}
		audiences[i] = *s
	}
	return audiences, true
}

// date parses a time of a token, in seconds since 1970 (RFC 7519, section 2); false if it is not a number in range.
func (t *token) date(name string) (_ time.Time, present, ok bool) {
	raw, present := t.claims.Get(name)
	if !present || string(raw) == "null" {
		return time.Time{}, false, false
	}
	seconds, err := strconv.ParseFloat(string(raw), 64) // accepts only JSON's numbers here
	if err != nil || seconds < 0 || seconds > maxDate {
		return time.Time{}, true, false
	}
	return time.Unix(int64(seconds), 0), true, true
}

// keep returns the claims with these names or paths.
func (t *token) keep(names []string) map[string]any {
	var kept map[string]any
	for _, name := range names {
		v, ok := strictjson.Lookup(t.claims, name)
		if !ok {
			continue
		}
		if kept == nil {
			kept = make(map[string]any, len(names))
		}
		raw := v.(json.RawMessage)
		switch raw[0] {
		case '{', '[':
			kept[name] = json.RawMessage(string(raw)) // copied, because the token is not kept
		default:
			var scalar any
			_ = json.Unmarshal(raw, &scalar) // valid JSON never fails
			kept[name] = scalar
		}
	}
	return kept
}
