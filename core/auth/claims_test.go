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

// A claim's name may be a path into nested objects, of a token or of a gateway's identity.
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
		t.Run(tt.name, func(t *testing.T) { checkNestedClaim(t, "acme", tt.name, tt.claim, tt.claims, tt.want) })
	}
}

// An unreadable claim does not count as absent, which the default route would accept. API Gateway converts an object
// in a token to text.
func TestNestedTenantClaimOnTheDefaultRoute(t *testing.T) {
	for _, tt := range []struct {
		name, claim, claims, want string
	}{
		{"absent", "firebase.tenant", `{"other":1}`, ""},
		{"absent in its object", "firebase.tenant", `{"firebase":{"sign_in_provider":"password"}}`, ""},
		{"null in place of its object", "firebase.tenant", `{"firebase":null}`, ""},
		{"a tenant", "firebase.tenant", `{"firebase":{"tenant":"acme"}}`, "forbidden"},
		{"the text of an object", "firebase.tenant", `{"firebase":"map[tenant:acme]"}`, "forbidden"},
		{"an empty text", "firebase.tenant", `{"firebase":""}`, "forbidden"},
		{"a list on the way", "firebase.tenant", `{"firebase":[{"tenant":"acme"}]}`, "forbidden"},
		{"a text deeper on the way", "a.b.c", `{"a":{"b":"map[c:acme]"}}`, "forbidden"},
		{"twice in the object", "a.b", `{"a":{"b":"acme","b":"other"}}`, "forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) { checkNestedClaim(t, "", tt.name, tt.claim, tt.claims, tt.want) })
	}
}

// checkNestedClaim requests a tenant with the claims in a token and in a gateway's identity.
func checkNestedClaim(t *testing.T, tenant, name, claim, more, want string) {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal([]byte(more), &claims); err != nil {
		t.Fatal(err)
	}
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	standard := must(json.Marshal(idp.claims(nil)))
	r := bearer(signES256(`{"alg":"ES256","kid":"kid-1"}`, strings.TrimSuffix(string(standard), "}")+","+more[1:]))
	r = r.WithContext(platform.With(r.Context(), platform.Info{Identity: &platform.Identity{Subject: "ada", Claims: claims}}))
	for _, method := range []access.Method{{Name: "oidc", Verifier: oidc(idp, auth.OIDCConfig{Claims: []string{claim}})}, access.Gateway()} {
		if strings.HasPrefix(name, "twice") && method.Name == "gateway" {
			continue // encoding/json has decided already
		}
		h := access.Require(access.Options{Methods: []access.Method{method}, Claim: &access.TenantClaim{Name: claim}, Tenant: tenant})(new(requesttest.Minted))
		if got := requesttest.Code(t, requesttest.Serve(h, r)); got != want {
			t.Errorf("%s: code %q, want %q", method.Name, got, want)
		}
	}
}
