package auth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
	"github.com/orga-session/orga-session/core/platform"
)

// A claim's name may lead into objects, of a token as of a gateway's identity.
func TestNestedTenantClaim(t *testing.T) {
	for _, tt := range []struct {
		name, claim, claims, want string
	}{
		{"Firebase", "firebase.tenant", `{"firebase":{"tenant":"acme","sign_in_provider":"password"}}`, ""},
		{"Firebase, another tenant", "firebase.tenant", `{"firebase":{"tenant":"other"}}`, "forbidden"},
		{"Firebase, no tenant", "firebase.tenant", `{"firebase":{}}`, "forbidden"},
		{"the end of the path alone", "firebase.tenant", `{"tenant":"acme"}`, "forbidden"},
		{"an object", "firebase", `{"firebase":{"tenant":"acme"}}`, "forbidden"},
		{"a text on the way", "firebase.tenant", `{"firebase":"tenant"}`, "forbidden"},
		{"a list on the way", "firebase.tenant", `{"firebase":[{"tenant":"acme"}]}`, "forbidden"},
		{"a name with dots", "https://app.example/org", `{"https://app.example/org":"acme"}`, ""},
		{"the name before the path", "a.b", `{"a.b":"acme","a":{"b":"other"}}`, ""},
		{"a path through a name with dots", "https://app.example/claims.org", `{"https://app.example/claims":{"org":"acme"}}`, ""},
		{"three deep", "a.b.c", `{"a":{"b":{"c":"acme"}}}`, ""},
		{"a name with dots inside", "a.b.c", `{"a":{"b.c":"acme"}}`, ""},
		{"another way when one ends", "a.b.c", `{"a":{"x":1},"a.b":{"c":"acme"}}`, ""},
		{"another case", "Firebase.tenant", `{"firebase":{"tenant":"acme"}}`, "forbidden"},
		{"a dot at the end", "firebase.", `{"firebase":{"":"acme"}}`, ""},
		{"no dot", "abc", `{"a":{"c":"acme"}}`, "forbidden"},
		{"twice in the object", "a.b", `{"a":{"b":"acme","b":"other"}}`, "forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var claims map[string]any
			if err := json.Unmarshal([]byte(tt.claims), &claims); err != nil {
				t.Fatal(err)
			}
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			standard := must(json.Marshal(idp.claims(nil)))
			r := bearer(signES256(`{"alg":"ES256","kid":"kid-1"}`, strings.TrimSuffix(string(standard), "}")+","+tt.claims[1:]))
			r = r.WithContext(platform.With(r.Context(), platform.Info{Identity: &platform.Identity{Subject: "ada", Claims: claims}}))
			for _, method := range []access.Method{{Name: "oidc", Verifier: oidc(idp, auth.OIDCConfig{Claims: []string{tt.claim}})}, access.Gateway()} {
				if strings.HasPrefix(tt.name, "twice") && method.Name == "gateway" {
					continue // encoding/json has decided already
				}
				h := access.Require(access.Options{Methods: []access.Method{method}, Claim: &access.TenantClaim{Name: tt.claim}, Tenant: "acme"})(new(requesttest.Minted))
				if got := requesttest.Code(t, requesttest.Serve(h, r)); got != tt.want {
					t.Errorf("%s: code %q, want %q", method.Name, got, tt.want)
				}
			}
		})
	}
}
