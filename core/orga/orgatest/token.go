package orgatest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"
)

var tokenHead = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

// Token is the content of a token.
type Token struct {
	ID      string    // identifies the token, but is not a credential
	Expires time.Time // in seconds
}

// newToken returns a token and its content. It is a JWT, as Orga's are, with a random signature.
func newToken(expires time.Time) (text string, t Token) {
	t = Token{"test-" + rand.Text()[:12], expires.Truncate(time.Second)}
	claims := fmt.Sprintf(`{"exp":%d,"jti":%q}`, t.Expires.Unix(), t.ID)
	return tokenHead + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + rand.Text(), t
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
