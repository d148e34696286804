package core_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Tenants with the same issuer share its keys, whatever their audiences: fault 20 applies to all of them together.
func TestTenantsShareAnIssuersKeys(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(map[string]int)
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "kid-1", Use: "sig"}}})
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys"}`, "http://"+r.Host, "http://"+r.Host)
	}))
	defer issuer.Close()
	d := withTenants(t, `{"tenants":{
		"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","authAudience":"acme"},
		"other":{"apiKeySource":"env:ORGA_API_KEY_OTHER","authAudience":"other"}}}`,
		env{"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": issuer.URL, "ORGA_AUTH_AUDIENCE": "voice"}, nil)
	part := base64.RawURLEncoding.EncodeToString
	bad := part([]byte(`{"alg":"ES256"}`)) + "." + part([]byte(`{"iss":"`+issuer.URL+`"}`)) + "." + strings.Repeat("A", 86)
	for _, tenant := range []string{"", "/acme", "/other"} {
		if a := d.ask("GET", mintPath+tenant, "Authorization", "Bearer "+bad); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q: %d %s", tenant, a.StatusCode, a.body)
		}
	}
	if asked["/keys"] != 1 || asked["/.well-known/openid-configuration"] != 1 {
		t.Errorf("the issuer was asked %v, want once for each", asked)
	}
}
