package workerd

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is an identity provider with one key. It counts fetches.
type issuer struct {
	server          *httptest.Server
	signer          jose.Signer
	delay           time.Duration // before each answer
	discovery, keys atomic.Int64  // fetches
}

const audience = "orga-session"

func newIssuer() (*issuer, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: "1", Algorithm: string(jose.RS256), Use: "sig"}
	i := new(issuer)
	if i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		i.discovery.Add(1)
		i.answer(w, r, map[string]any{"issuer": i.server.URL, "jwks_uri": i.server.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		i.keys.Add(1)
		i.answer(w, r, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	})
	i.server = httptest.NewServer(mux)
	return i, nil
}

func (i *issuer) answer(w http.ResponseWriter, r *http.Request, document any) {
	select {
	case <-time.After(i.delay):
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document)
}

// token returns a token for subject.
func (i *issuer) token(subject string) (string, error) {
	now := time.Now()
	return jwt.Signed(i.signer).Claims(jwt.Claims{
		Issuer: i.server.URL, Audience: jwt.Audience{audience}, Subject: subject,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}).Serialize()
}
