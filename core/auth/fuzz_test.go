package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/orga-session/orga-session/core/auth"
)

// FuzzToken signs any header and claims: an accepted token must also be valid as parsed by encoding/json.
func FuzzToken(f *testing.F) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()), public("", ecKey()))
	v := oidc(idp, auth.OIDCConfig{Claims: []string{"org", "firebase.tenant"}})
	const header = `{"alg":"ES256","kid":"kid-1","typ":"JWT"}`
	f.Add(header, `{"iss":"https://id.example","aud":"orga-test","sub":"ada","exp":4000000000}`)
	f.Add(header, `{"iss":"https://id.example","aud":["a","orga-test"],"sub":7,"exp":4e9,"nbf":0,"firebase":{"tenant":"acme"}}`)
	f.Add(`{"alg":"ES256"}`, `{"iss":"https://id.example","azp":"orga-test","exp":4000000000.5,"org":["a",{"b":null}],"cnf":null}`)
	f.Add(`{"alg":"ES256","typ":"logout+jwt"}`, `{"iss":"https://id.example","client_id":"orga-test","exp":4000000000,"events":{}}`)
	f.Add(`{"alg":"none"}`, `{"ISS":"https://id.example","sub":"a","sub":"b","exp":"1"}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		signed := signES256(header, claims)
		p, err := v.Verify(bearer(signed))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("%q: the error has two lines: %q", claims, err)
			}
			return
		}
		var h struct{ Alg, Typ any }
		var c map[string]any
		if err := json.Unmarshal([]byte(header), &h); err != nil || h.Alg != string(jose.ES256) {
			t.Errorf("accepted with the header %q", header)
		}
		decoder := json.NewDecoder(strings.NewReader(claims))
		decoder.UseNumber()
		if err := decoder.Decode(&c); err != nil {
			t.Fatalf("accepted with the claims %q", claims)
		}
		aud := c["aud"]
		if list, ok := aud.([]any); ok {
			aud = ""
			for _, a := range list {
				if a == audience {
					aud = a
				}
			}
		}
		if aud == nil {
			if aud = c["azp"]; c["client_id"] == audience {
				aud = audience
			}
		}
		expiry, _ := c["exp"].(json.Number)
		exp, err := expiry.Float64()
		if c["iss"] != idp.url || aud != audience || err != nil || exp < float64(time.Now().Unix()-61) || c["cnf"] != nil || c["token_use"] == "refresh" {
			t.Errorf("accepted: %q", claims)
		}
		if _, ok := c["events"].(map[string]any); ok {
			t.Errorf("accepted: %q", claims)
		}
		want := ""
		switch sub := c["sub"].(type) {
		case string:
			want = sub
		case json.Number:
			want = sub.String()
		case nil:
		default:
			t.Errorf("accepted with the subject %v", sub)
		}
		if p.Subject != want || !utf8.ValidString(p.Subject) {
			t.Errorf("%q: the subject is %q", claims, p.Subject)
		}
		if _, ok := p.Claims["org"].(string); ok && p.Claims["org"] != c["org"] {
			t.Errorf("%q: the claims are %v", claims, p.Claims)
		}
		if again, err := v.Verify(bearer(signed)); err != nil || again.Subject != p.Subject {
			t.Errorf("the second time: %+v, %v", again, err)
		}
		for i, part := range strings.Split(signed, ".") {
			if strict := base64.RawURLEncoding.Strict(); must(strict.DecodeString(part)) == nil {
				t.Errorf("part %d of %s", i, signed)
			}
		}
	})
}

// FuzzKeySet publishes anything next to a good key, which must still be used.
func FuzzKeySet(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"kty":"RSA","n":"AQAB","e":"AQAB"}`, `{"kty":"EC","crv":"P-256","x":"","y":""}`, `{"kty":"OKP","crv":"Ed25519","x":"AA"}`, `null`, `7`, `[]`,
		string(must(json.Marshal(jwk(rsaKey(), nil)))), string(must(json.Marshal(jwk(ecKey(), object{"kid": 7, "x5c": []string{""}})))),
		string(must(json.Marshal(jwk(edKey(), object{"use": "enc"})))), string(must(json.Marshal(jwk(p521Key(), object{"crv": 521, "alg": "es512"})))),
	} {
		f.Add(seed, `{"keys":[`+seed+`]}`)
	}
	signed := map[string]*http.Request{}
	idp := newIssuer("https://id.example")
	for alg, key := range map[jose.SignatureAlgorithm]any{jose.RS256: rsaKey(), jose.ES256: ecKey(), jose.EdDSA: edKey(), jose.ES512: p521Key()} {
		signed[string(alg)] = bearer(token(alg, kid1, key, idp.claims(map[string]any{"exp": 4_000_000_000})))
	}
	good := bearer(token(jose.ES384, "good", largeECs(), idp.claims(map[string]any{"exp": 4_000_000_000})))
	goodKey := string(must(json.Marshal(jwk(largeECs(), object{"kid": "good"}))))
	f.Fuzz(func(t *testing.T, key, document string) {
		if json.Valid([]byte(key)) {
			idp := newIssuer("https://id.example")
			idp.document = `{"keys":[` + key + "," + goodKey + `]}`
			v := idp.verifier(t)
			if _, err := v.Verify(good); err != nil {
				t.Errorf("next to %q: %v", key, err)
			}
			// A signature key that go-jose can parse must be used.
			var read jose.JSONWebKey
			if read.UnmarshalJSON([]byte(key)) == nil && read.IsPublic() && (read.KeyID == kid1 || read.KeyID == "") && (read.Use == "" || read.Use == "sig") && read.Algorithm == "" {
				for alg, r := range signed {
					object, err := jose.ParseSignedCompact(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
					if err != nil {
						t.Fatal(err)
					}
					_, err = object.Verify(read)
					if _, ours := v.Verify(r); err == nil && ours != nil {
						t.Errorf("%s with %q: %v", alg, key, ours)
					}
				}
			}
		}
		idp := newIssuer("https://id.example")
		idp.document = document
		_, _ = idp.verifier(t).Verify(good)
	})
}
