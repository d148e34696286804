package orgatest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

var tokenHead = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

// Token is the content of a token.
type Token struct {
	ID      string    // identifies the token, but is not a credential
	Expires time.Time // in seconds
}

// sign creates a token: a JWT, as Orga's are, that can be verified without state.
func sign(secret []byte, t Token) string {
	claims := fmt.Sprintf(`{"exp":%d,"jti":%q}`, t.Expires.Unix(), t.ID)
	signed := tokenHead + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return signed + "." + signature(secret, signed)
}

func newToken(expires time.Time) Token { return Token{"test-" + rand.Text()[:12], expires} }

func signature(secret []byte, signed string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// parse parses a token, expired or not; false if sign did not create it with this secret.
func parse(secret []byte, token string) (Token, bool) {
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 || !strings.HasPrefix(token, tokenHead+".") || !hmac.Equal([]byte(token[dot+1:]), []byte(signature(secret, token[:dot]))) {
		return Token{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(token[len(tokenHead)+1 : dot])
	var claims struct {
		Exp int64  `json:"exp"`
		ID  string `json:"jti"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return Token{}, false
	}
	return Token{claims.ID, time.Unix(claims.Exp, 0)}, true
}

// Servers returns the STUN and TURN server that an API serves for a token by default. Nothing listens there.
func Servers(token string) []ICEServer {
	username, credential := Credential(token)
	return []ICEServer{
		{URLs: []string{"stun:127.0.0.1:3478"}},
		{URLs: []string{"turn:127.0.0.1:3478?transport=udp"}, Username: username, Credential: credential},
	}
}

// Credential returns the TURN username and credential of a token. Checks of an answer can compute them, even in another
// process.
func Credential(token string) (username, credential string) {
	sum := sha256.Sum256([]byte(token))
	return "user-" + hex.EncodeToString(sum[:6]), "pass-" + hex.EncodeToString(sum[6:20])
}
