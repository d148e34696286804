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

// signingKey tells the tokens of this process from made-up ones.
var signingKey = []byte(rand.Text())

var tokenHead = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))

// sign makes a token: a JWT, as the API's are, that can be checked without being remembered.
func sign(serial uint64, expires time.Time) string {
	claims := fmt.Sprintf(`{"exp":%d,"jti":"test-%d-%s"}`, expires.Unix(), serial, rand.Text()[:8])
	signed := tokenHead + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return signed + "." + signature(signed)
}

func signature(signed string) string {
	mac := hmac.New(sha256.New, signingKey)
	mac.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// valid tells whether a token came from sign and has not expired.
func valid(token string, now time.Time) bool {
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 || !strings.HasPrefix(token, tokenHead+".") || !hmac.Equal([]byte(token[dot+1:]), []byte(signature(token[:dot]))) {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(token[len(tokenHead)+1 : dot])
	var claims struct {
		Exp int64 `json:"exp"`
	}
	return err == nil && json.Unmarshal(payload, &claims) == nil && now.Unix() < claims.Exp
}

// Credential is the TURN username and credential that go with a token, and with no other: a check of
// an answer can compute them, in another process too.
func Credential(token string) (username, credential string) {
	sum := sha256.Sum256([]byte(token))
	return "user-" + hex.EncodeToString(sum[:6]), "pass-" + hex.EncodeToString(sum[6:20])
}
