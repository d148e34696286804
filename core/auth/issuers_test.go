package auth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-jose/go-jose/v4"

	"github.com/orga-session/orga-session/core/auth"
)

// Fault 20 applies to an issuer as a whole, whatever the number of audiences.
func TestIssuersShareKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		issuers := auth.Issuers{Transport: idp}
		verify := func(audience, jwksURL, claimed, keyID string) error {
			v, err := issuers.OIDC(auth.OIDCConfig{Issuer: idp.url, Audiences: []string{audience}, JWKSURL: jwksURL})
			if err != nil {
				t.Error(err)
				return nil
			}
			_, err = v.Verify(bearer(token(jose.ES256, keyID, ecKey(), idp.claims(map[string]any{"aud": claimed}))))
			return err
		}
		var wg sync.WaitGroup
		for _, audience := range []string{"acme", "other", "third"} {
			wg.Go(func() {
				if err := verify(audience, "", audience, kid1); err != nil {
					t.Errorf("%s: %v", audience, err)
				}
				if verify(audience, "", "another", kid1) == nil {
					t.Errorf("%s accepts a token for another audience", audience)
				}
			})
		}
		wg.Wait()
		if idp.fetches() != 1 || idp.asked1 != 1 {
			t.Errorf("%d fetches of keys and %d of discovery, want 1 and 1", idp.fetches(), idp.asked1)
		}
		for _, audience := range []string{"acme", "other", "third"} {
			_ = verify(audience, "", audience, "unknown")
		}
		if n := idp.fetches(); n != 2 {
			t.Errorf("%d fetches after bad tokens for three audiences, want one more", n)
		}
		if err := verify("acme", "https://keys.example/all", "acme", kid1); err != nil || idp.fetches() != 3 {
			t.Errorf("another JWKS URL: %v after %d fetches, want a separate one", err, idp.fetches())
		}
		if err := verify("acme", "", "acme", kid1); err != nil || idp.fetches() != 3 {
			t.Errorf("the first JWKS URL again: %v after %d fetches, want no other", err, idp.fetches())
		}
		if _, err := issuers.OIDC(auth.OIDCConfig{Issuer: idp.url}); err == nil {
			t.Error("no audience passes")
		}
	})
}

// Without a Transport, keys are fetched with bounds, too: short lines of a header take 20 times their size in memory.
func TestDefaultTransport(t *testing.T) {
	idp := newIssuer("", public(kid1, ecKey()))
	for size, want := range map[int]bool{4 << 10: true, 9 << 10: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range size / len("A: \r\n") {
				w.Header()["A"] = append(w.Header()["A"], "")
			}
			_, _ = io.WriteString(w, keySet(jwk(ecKey(), nil)))
		}))
		defer server.Close()
		v := must(new(auth.Issuers).OIDC(auth.OIDCConfig{Issuer: "tests", Audiences: []string{audience}, JWKSURL: server.URL}))
		_, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"iss": "tests"}))))
		if (err == nil) != want {
			t.Errorf("a header of %d KiB: %v", size>>10, err)
		}
	}
}
