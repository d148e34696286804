package standin

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

// serve starts a plain HTTP server on 127.0.0.1 for what is called now and then.
func serve(handler http.Handler) (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// StartSecretsManager serves one secret, APIKey, under whatever name it is asked for.
func StartSecretsManager() (url string, stop func(), err error) {
	return serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
			http.Error(w, `{"__type":"InvalidRequestException"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		writeJSON(w, map[string]any{
			"ARN":  "arn:aws:secretsmanager:eu-central-1:000000000000:secret:orga-api-key-abcdef",
			"Name": "orga-api-key", "SecretString": APIKey, "VersionId": "11111111-2222-3333-4444-555555555555",
			"VersionStages": []string{"AWSCURRENT"}, "CreatedDate": time.Now().Unix(),
		})
	}))
}

// Issuer is an OpenID Connect issuer with one key.
type Issuer struct {
	URL  string
	Stop func()
	key  *rsa.PrivateKey
}

// StartIssuer serves an issuer's discovery document and its keys.
func StartIssuer() (*Issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	i := &Issuer{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		writeJSON(w, map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/jwks"})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		writeJSON(w, map[string]any{"keys": []any{map[string]string{
			"kty": "RSA", "kid": "bench", "alg": "RS256", "use": "sig",
			"n": base64URL(key.N.Bytes()), "e": base64URL([]byte{1, 0, 1}),
		}}})
	})
	i.URL, i.Stop, err = serve(mux)
	return i, err
}

// Token is an RS256 token for a caller, good for an hour.
func (i *Issuer) Token(audience, subject string) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": i.URL, "aud": audience, "sub": subject,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed := base64URL([]byte(`{"alg":"RS256","kid":"bench","typ":"JWT"}`)) + "." + base64URL(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signed + "." + base64URL(signature), nil
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func writeJSON(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nothing is left to do
}
