package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

// signES256 signs a header and claims unchanged.
func signES256(header, claims string) string {
	input := base64URL([]byte(header)) + "." + base64URL([]byte(claims))
	return input + "." + base64URL(es256(input))
}

func es256(input string) []byte {
	hash := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, ecKey().(*ecdsa.PrivateKey), hash[:])
	if err != nil {
		panic(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

// raw is literal JSON.
func raw(s string) json.RawMessage { return json.RawMessage(s) }

// fault 53: unused claims may have any type, and claim names match exactly.
func TestUnusedClaims(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := idp.verifier(t)
	for _, tt := range []struct {
		name    string
		changes map[string]any
		subject string
	}{
		{"nothing unusual", nil, "ada"},
		{"nonce: a list", map[string]any{"nonce": []int{1}}, "ada"},
		{"iat: a text", map[string]any{"iat": "yesterday"}, "ada"},
		{"iat: a date", map[string]any{"iat": "2026-11-26T15:00:00Z"}, "ada"},
		{"iat: beyond all time", map[string]any{"iat": raw("1e999")}, "ada"},
		{"jti: an object", map[string]any{"jti": map[string]any{}}, "ada"},
		{"auth_time: a text", map[string]any{"auth_time": "1"}, "ada"},
		{"at_hash: a number", map[string]any{"at_hash": 1}, "ada"},
		{"amr: a text", map[string]any{"amr": "pwd"}, "ada"},
		{"azp: a list", map[string]any{"azp": []string{"a"}}, "ada"},
		{"client_id: an object", map[string]any{"client_id": map[string]any{}}, "ada"},
		{"_claim_names: a text", map[string]any{"_claim_names": "groups"}, "ada"},
		{"_claim_names and sources", map[string]any{"_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": []any{nil}}, "ada"},
		{"email_verified: a text", map[string]any{"email_verified": "true"}, "ada"},
		{"cnf: null", map[string]any{"cnf": raw("null")}, "ada"},
		{"events: a list", map[string]any{"events": []string{"login"}}, "ada"},
		{"events: a text", map[string]any{"events": "login"}, "ada"},
		{"token_use: a number", map[string]any{"token_use": 1}, "ada"},
		{"typ: ID", map[string]any{"typ": "ID"}, "ada"},
		{"Sub: an object", map[string]any{"Sub": map[string]any{}}, "ada"},
		{"SUB: a text", map[string]any{"SUB": "eve"}, "ada"},
		{"ISS: a number", map[string]any{"ISS": 7}, "ada"},
		{"EXP: a text", map[string]any{"EXP": "never"}, "ada"},
		{"AUD: another", map[string]any{"AUD": []any{1, nil}}, "ada"},
		{"CNF and Events", map[string]any{"CNF": map[string]any{}, "Events": map[string]any{}}, "ada"},
		{"nested 1,100 deep", map[string]any{"deep": raw(strings.Repeat(`{"":`, 1100) + "1" + strings.Repeat("}", 1100))}, "ada"},
		{"a key with a line break", map[string]any{"a\nb": 1}, "ada"},
		{"exp: a fraction", map[string]any{"exp": raw("4e9")}, "ada"},
		{"nbf: null", map[string]any{"nbf": raw("null")}, "ada"},
		{"sub: a number", map[string]any{"sub": 7}, "7"},
		{"sub: a large number", map[string]any{"sub": raw("12345678901234567890123")}, "12345678901234567890123"},
		{"sub: below zero", map[string]any{"sub": -7}, "-7"},
		{"sub: zero", map[string]any{"sub": 0}, "0"},
		{"sub: nine", map[string]any{"sub": 9}, "9"},
		{"sub: a digit as text", map[string]any{"sub": "9"}, "9"},
		{"sub: null", map[string]any{"sub": raw("null")}, ""},
		{"sub: empty", map[string]any{"sub": ""}, ""},
		{"sub: with an escape", map[string]any{"sub": raw(`"\u0061da"`)}, "ada"},
	} {
		p, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(tt.changes))))
		if err != nil || p.Subject != tt.subject {
			t.Errorf("%s: subject %q, %v", tt.name, p.Subject, err)
		}
	}
}

// fault 57: only one encoding of a token is accepted.
func TestTokenEncodingIsUnique(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := idp.verifier(t)
	claims := string(must(json.Marshal(idp.claims(nil))))
	for len(claims)%3 != 1 { // so that its base64 has spare bits
		claims += " "
	}
	header := `{"alg":"ES256","kid":"kid-1"}`
	for len(header)%3 != 1 {
		header += " "
	}
	good := signES256(header, claims)
	parts := strings.Split(good, ".")
	// spare returns part with a different last character that decodes to the same bytes.
	spare := func(part string) string {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.IndexByte(alphabet, part[len(part)-1])
		return part[:len(part)-1] + string(alphabet[last+1])
	}
	join := func(h, p, s string) string { return h + "." + p + "." + s }
	resigned := func(h, p string) string { return join(h, p, base64URL(es256(h+"."+p))) }
	for _, tt := range []struct{ name, token string }{
		{"spare bits of the signature", join(parts[0], parts[1], spare(parts[2]))},
		{"spare bits of the payload", join(parts[0], spare(parts[1]), parts[2])},
		{"spare bits of the payload, and signed like that", resigned(parts[0], spare(parts[1]))},
		{"spare bits of the header", join(spare(parts[0]), parts[1], parts[2])},
		{"spare bits of the header, and signed like that", resigned(spare(parts[0]), parts[1])},
		{"padding of the signature", good + "=="},
		{"padding of the payload", join(parts[0], parts[1]+"==", parts[2])},
		{"padding of the payload, and signed like that", resigned(parts[0], parts[1]+"==")},
		{"padding of the header", join(parts[0]+"==", parts[1], parts[2])},
		{"a line break after the signature", good + "\n"},
		{"a line break in the signature", join(parts[0], parts[1], parts[2][:10]+"\n"+parts[2][10:])},
		{"a carriage return in the payload", join(parts[0], parts[1][:10]+"\r"+parts[1][10:], parts[2])},
		{"a line break in the payload, and signed like that", resigned(parts[0], parts[1][:10]+"\n"+parts[1][10:])},
		{"a space after the signature", good + " "},
		{"a space before the payload", join(parts[0], " "+parts[1], parts[2])},
		{"a tab before it all", "\t" + good},
		{"plain base64", join(parts[0], parts[1], base64.RawStdEncoding.EncodeToString(must(base64.RawURLEncoding.DecodeString(parts[2])))+"+")},
		{"a percent escape", strings.Replace(good, ".", "%2E", 1)},
	} {
		if _, err := v.Verify(bearer(tt.token)); err == nil {
			t.Errorf("%s: accepted before the token itself", tt.name)
		}
	}
	if _, err := v.Verify(bearer(good)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{join(parts[0], parts[1], spare(parts[2])), good + "==", good + "\n", good + " "} {
		if _, err := v.Verify(bearer(part)); err == nil {
			t.Errorf("%q: accepted after the token itself", part[len(good)-1:])
		}
	}
}

// Knowing a token's signed text is not enough to use it.
func TestVerifiedTokenNeedsItsSignature(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := idp.verifier(t)
	good := token(jose.ES256, kid1, ecKey(), idp.claims(nil))
	if _, err := v.Verify(bearer(good)); err != nil {
		t.Fatal(err)
	}
	cut := strings.LastIndex(good, ".") + 1
	for _, signature := range []string{"", "AA", strings.Repeat("A", 86), base64URL(es256("another"))} {
		if _, err := v.Verify(bearer(good[:cut] + signature)); err == nil {
			t.Errorf("signature %q is accepted", signature)
		}
	}
	if _, err := v.Verify(bearer(good)); err != nil {
		t.Errorf("after them: %v", err)
	}
	// From an ECDSA signature (r, s), anybody can compute another, (r, -s).
	raw := must(base64.RawURLEncoding.DecodeString(good[cut:]))
	for range 2 {
		raw = negated(raw)
		if _, err := v.Verify(bearer(good[:cut] + base64URL(raw))); err != nil {
			t.Errorf("a signature that holds: %v", err)
		}
	}
}

// fault 58: tokens for other purposes are refused.
func TestTokenKinds(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	h, m := whole(idp.verifier(t))
	ask := func(name, header string, changes map[string]any, want string) {
		t.Helper()
		m.N = 0
		claims := string(must(json.Marshal(idp.claims(changes))))
		if got := requesttest.Code(t, requesttest.Serve(h, bearer(signES256(header, claims)))); got != want || (m.N == 1) != (want == "") {
			t.Errorf("%s: code %q, want %q; minted %d times", name, got, want, m.N)
		}
	}
	typed := func(typ string) string { return `{"alg":"ES256","kid":"kid-1","typ":` + typ + `}` }
	for _, typ := range []string{`"logout+jwt"`, `"secevent+jwt"`, `"dpop+jwt"`, `"Logout+JWT"`, `"application/logout+jwt"`, `"token-introspection+jwt"`,
		`"oauth-authz-req+jwt"`, `"kb+jwt"`, `"entity-statement+jwt"`, `"client-authentication+jwt"`, `"+jwt"`, `"dpop+jwt;x=1"`, `"application/logout+jwt ; x=1"`} {
		ask("typ "+typ, typed(typ), nil, "unauthenticated")
	}
	for _, typ := range []string{`"JWT"`, `"jwt"`, `"at+jwt"`, `"AT+JWT"`, `"application/at+jwt"`, `"at+jwt; x=1"`, `"JOSE"`, `""`, `null`, `7`} {
		ask("typ "+typ, typed(typ), nil, "")
	}
	ask("no typ", `{"alg":"ES256","kid":"kid-1"}`, nil, "")
	plain := typed(`"JWT"`)
	for name, changes := range map[string]map[string]any{
		"cnf: DPoP":                      {"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
		"cnf: mTLS":                      {"cnf": map[string]any{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}},
		"cnf: empty":                     {"cnf": map[string]any{}},
		"cnf: a text":                    {"cnf": "jkt"},
		"token_use: refresh":             {"token_use": "refresh"},
		"token_use: Refresh":             {"token_use": "Refresh"},
		"token_type: refresh":            {"token_type": "refresh"}, // simplejwt
		"token_type: refresh_token":      {"token_type": "refresh_token"},
		"typ: Refresh":                   {"typ": "Refresh"}, // Keycloak
		"typ: Offline":                   {"typ": "Offline"},
		"typ: Logout":                    {"typ": "Logout"},
		"events: a logout, typ JWT":      {"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}},
		"events: none, yet it is a list": {"events": map[string]any{}},
	} {
		ask(name, plain, changes, "unauthenticated")
	}
	for name, changes := range map[string]map[string]any{
		"token_use: access": {"token_use": "access"}, "token_use: id": {"token_use": "id"},
		"token_type: access": {"token_type": "access"}, "token_type: Bearer": {"token_type": "Bearer"}, "typ: Bearer": {"typ": "Bearer"},
	} {
		ask(name, plain, changes, "")
	}
	for _, header := range []string{
		`{"alg":"ES256","kid":"kid-1","crit":["exp"],"exp":1}`, `{"alg":"ES256","kid":"kid-1","crit":[]}`, `{"alg":"ES256","kid":"kid-1","crit":["b64"],"b64":true}`,
		`{"alg":"ES256","kid":"kid-1","alg":"none"}`, `{"alg":"none","alg":"ES256","kid":"kid-1"}`, `{"alg":"ES256","kid":7}`,
		`{"Alg":"ES256","kid":"kid-1"}`, `{"alg":["ES256"],"kid":"kid-1"}`, `[]`, `null`, `"ES256"`, ``,
	} {
		ask("the header "+header, header, nil, "unauthenticated")
	}
}

// A duplicate of a used claim is refused, because choosing one would be a guess.
func TestDuplicateClaims(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := idp.verifier(t)
	claims := string(must(json.Marshal(idp.claims(nil))))
	for _, more := range []string{`"sub":"eve"`, `"s\u0075b":"eve"`, `"aud":"another"`, `"exp":1`, `"iss":"https://other"`} {
		if p, err := v.Verify(bearer(signES256(`{"alg":"ES256","kid":"kid-1"}`, strings.TrimSuffix(claims, "}")+","+more+"}"))); err == nil {
			t.Errorf("%s: %+v", more, p)
		}
	}
}

// Two subjects must not decode to the same one: they would share a limit.
func TestAmbiguousSubjects(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := idp.verifier(t)
	claims := string(must(json.Marshal(idp.claims(nil))))
	for _, subject := range []string{"\"\xff\"", "\"\xfe\"", `"\ud800"`, `"\ud801"`, `"ada\udfff"`, `"\ufffd"`} {
		if p, err := v.Verify(bearer(signES256(`{"alg":"ES256","kid":"kid-1"}`, strings.Replace(claims, `"ada"`, subject, 1)))); err == nil {
			t.Errorf("%q: %+v", subject, p)
		}
	}
	if p, err := v.Verify(bearer(signES256(`{"alg":"ES256","kid":"kid-1"}`, strings.Replace(claims, `"ada"`, `"\ud83d\ude00 é"`, 1)))); err != nil || p.Subject != "😀 é" {
		t.Errorf("%+v, %v", p, err)
	}
}

// fault 52: tokens with many groups are accepted up to the size limit.
func TestLargeTokens(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, rsaKey()))
	es := newIssuer("https://id.example", public(kid1, ecKey()))
	v := idp.verifier(t)
	var groups []string
	sized := func(size int) string {
		for {
			signed := token(jose.RS256, kid1, rsaKey(), idp.claims(map[string]any{"groups": groups}))
			if len(signed) >= size {
				return signed
			}
			for range max(1, (size-len(signed))/60) {
				groups = append(groups, fmt.Sprintf("%08d-0000-4000-8000-000000000000", len(groups)))
			}
		}
	}
	if _, err := v.Verify(bearer(sized(12_000))); err != nil {
		t.Errorf("12 kB: %v", err)
	}
	large := sized(16<<10 + 1)
	if _, err := v.Verify(bearer(large)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("too large: %d bytes, more than 16384", len(large))) {
		t.Errorf("%d bytes: %v", len(large), err)
	}
	for _, size := range []int{16 << 10, 16<<10 + 1} {
		// No base64 has a length of 4n+1, so pad the header.
		var exact string
		for spaces := 0; len(exact) != size; spaces++ {
			header := `{"alg":"ES256","kid":"kid-1"}` + strings.Repeat(" ", spaces%4)
			claims := string(must(json.Marshal(es.claims(map[string]any{"pad": strings.Repeat("a", 12_000+spaces/4)}))))
			exact = signES256(header, claims)
		}
		if _, err := es.verifier(t).Verify(bearer(exact)); (err == nil) != (size == 16<<10) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// A token's header may have 32 members.
func TestHeaderMembers(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	for n, want := range map[int]bool{32: true, 33: false} {
		header := `{"alg":"ES256","kid":"kid-1"`
		for i := range n - 2 {
			header += fmt.Sprintf(`,"%d":0`, i)
		}
		_, err := idp.verifier(t).Verify(bearer(signES256(header+"}", string(must(json.Marshal(idp.claims(nil)))))))
		if (err == nil) != want {
			t.Errorf("%d members: %v", n, err)
		}
	}
}

// fault 56: Google's tokens may omit the scheme of their issuer.
func TestGooglesIssuer(t *testing.T) {
	for _, tt := range []struct {
		setting, iss string
		accepted     bool
	}{
		{"https://accounts.google.com", "accounts.google.com", true},
		{"https://accounts.google.com", "https://accounts.google.com", true},
		{"https://accounts.google.com", "http://accounts.google.com", false},
		{"https://accounts.google.com", "https://accounts.google.com/", false},
		{"https://id.example", "id.example", false},
		{"https://id.example", "accounts.google.com", false},
	} {
		idp := newIssuer(tt.setting, public(kid1, ecKey()))
		p, err := idp.verifier(t).Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"iss": tt.iss}))))
		if (err == nil) != tt.accepted || err == nil && p.Issuer != tt.setting {
			t.Errorf("%s of %s: %+v, %v", tt.iss, tt.setting, p, err)
		}
	}
}

func TestSeveralAudiences(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := oidc(idp, auth.OIDCConfig{Audiences: []string{"web", "app"}})
	for _, tt := range []struct {
		aud, azp any
		accepted bool
	}{
		{"web", nil, true}, {"app", nil, true}, {[]string{"other", "app"}, nil, true}, {nil, "app", true},
		{"web,app", nil, false}, {"other", "app", false}, {[]string{}, "app", false}, {nil, "other", false}, {"", nil, false}, {nil, nil, false},
	} {
		_, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"aud": tt.aud, "azp": tt.azp}))))
		if (err == nil) != tt.accepted {
			t.Errorf("aud %v, azp %v: %v", tt.aud, tt.azp, err)
		}
	}
}

// With a JWKS URL, the issuer may be any text.
func TestIssuerIsNotURL(t *testing.T) {
	idp := newIssuer("my company", public(kid1, ecKey()))
	v := oidc(idp, auth.OIDCConfig{Issuer: idp.url, JWKSURL: "https://keys.example/all"})
	if _, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil)))); err != nil {
		t.Error(err)
	}
	for _, iss := range []any{"My company", "my company ", nil} {
		if _, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"iss": iss})))); err == nil {
			t.Errorf("iss %v is accepted", iss)
		}
	}
}

// The cause in the log has the wrong value of a token, but only if the issuer has signed it.
func TestCauses(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := idp.verifier(t)
	with := func(changes map[string]any) string { return token(jose.ES256, kid1, ecKey(), idp.claims(changes)) }
	forged := func(changes map[string]any) string { return token(jose.ES256, kid1, otherECs(), idp.claims(changes)) }
	for _, r := range []*http.Request{requesttest.New(), requesttest.New("Authorization", "Basic YTpi"), requesttest.New("Authorization", "Bearer"),
		requesttest.New("Authorization", "Bearer x", "Authorization", "Bearer x")} {
		if _, err := v.Verify(r); !errors.Is(err, auth.ErrNoCredential) {
			t.Errorf("%q: %v", r.Header["Authorization"], err)
		}
	}
	for _, tt := range []struct{ name, token, want, not string }{
		{"another issuer", with(map[string]any{"iss": "https://sts.windows.net/1/"}), `not the configured issuer: it is "https://sts.windows.net/1/"`, ""},
		{"another issuer, forged", forged(map[string]any{"iss": "https://evil.example"}), "not the configured issuer", "evil"},
		{"another audience", with(map[string]any{"aud": []string{"api://1"}}), `another audience: ["api://1"]`, ""},
		{"no audience, another client", with(map[string]any{"aud": nil, "azp": "web", "client_id": "app"}), `another audience: ["app" "web"]`, ""},
		{"another audience, forged", forged(map[string]any{"aud": "evil"}), "another audience", "evil"},
		{"expired, forged", forged(map[string]any{"exp": 1}), "expired", ""},
		{"forged", forged(nil), `the token has the key id "kid-1"`, ""},
		{"a long issuer", with(map[string]any{"iss": strings.Repeat("x", 300)}), strings.Repeat("x", 200) + `"`, strings.Repeat("x", 201)},
		{"an encrypted one", "a.b.c.d.e", "JWE", ""},
		{"an opaque one", "2YotnFZFEjr1zCsicMWpAA", "not a JWT", "2Yot"},
		{"a symmetric one", token(jose.HS256, kid1, bytes.Repeat([]byte("k"), 32), idp.claims(nil)), "asymmetric", ""},
		{"a refresh token", with(map[string]any{"token_use": "refresh"}), "refresh", ""},
		{"one for later", with(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), "not valid yet", ""},
		{"one that has expired", with(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "expired", ""},
		{"one with a list for a subject", with(map[string]any{"sub": []int{}}), "sub", ""},
	} {
		_, err := v.Verify(bearer(tt.token))
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.not != "" && strings.Contains(err.Error(), tt.not) {
			t.Errorf("%s: %v, want %q, not %q", tt.name, err, tt.want, tt.not)
		}
	}
}

// A principal has only the configured claims.
func TestKeptClaims(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	names := []string{"org", "n", "ok", "none", "list", "firebase.tenant", "https://app.example/claims.plan", "a.b", "missing", "list.0", "org.x"}
	p, err := oidc(idp, auth.OIDCConfig{Claims: names}).Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{
		"org": "acme", "n": 7, "ok": true, "none": raw("null"), "list": []string{"x", "y"}, "other": "left out",
		"firebase": map[string]any{"tenant": "acme-1"}, "https://app.example/claims": map[string]any{"plan": "pro"},
		"a.b": "by name", "a": map[string]any{"b": "by path"},
	}))))
	if err != nil {
		t.Fatal(err)
	}
	want := `map[a.b:by name firebase.tenant:acme-1 https://app.example/claims.plan:pro list:["x","y"] list.0:[] n:7 none:<nil> ok:true org:acme org.x:[]]`
	for name, v := range p.Claims {
		if list, ok := v.(json.RawMessage); ok {
			p.Claims[name] = string(list)
		}
	}
	if got := fmt.Sprint(p.Claims); got != want {
		t.Errorf("the claims are\n%s, want\n%s", got, want)
	}
}

// Later changes of a configuration do not affect its verifier.
func TestConfigIsCopied(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	cfg := auth.OIDCConfig{Audiences: []string{audience}, Claims: []string{"sub"}}
	v := oidc(idp, cfg)
	cfg.Audiences[0], cfg.Claims[0] = "another", "aud"
	p, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
	if err != nil || p.Claims["sub"] != "ada" {
		t.Errorf("%+v, %v", p, err)
	}
}

// fault 59: the cached part of a token is small, whatever it contains; nothing is cached of refused ones.
func TestMemoryOfTokens(t *testing.T) {
	const most = 4 << 20
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	deep := raw(strings.Repeat(`{"":`, 1100) + "1" + strings.Repeat("}", 1100))
	tokens := func(n int, changes map[string]any) []string {
		list := make([]string, n)
		for i := range list {
			changes["jti"] = i
			list[i] = token(jose.ES256, kid1, ecKey(), idp.claims(changes))
		}
		return list
	}
	for _, tt := range []struct {
		name     string
		claims   []string
		tokens   []string
		accepted bool
	}{
		{"nested claims", nil, tokens(500, map[string]any{"a": deep, "b": raw(`"` + strings.Repeat("x", 400) + `"`)}), true},
		{"a nested claim that is kept", []string{"a"}, tokens(300, map[string]any{"a": deep}), true},
		{"a list that is kept", []string{"a"}, tokens(500, map[string]any{"a": []string{strings.Repeat("x", 11_000)}}), true},
		{"a long claim that is kept", []string{"a"}, tokens(500, map[string]any{"a": strings.Repeat("x", 11_000)}), true},
		{"long subjects", nil, tokens(500, map[string]any{"sub": strings.Repeat("x", 11_000)}), true},
		{"expired ones", nil, tokens(200, map[string]any{"exp": time.Now().Add(-time.Hour).Unix(), "sub": strings.Repeat("x", 5000)}), false},
		{"for another audience", nil, tokens(200, map[string]any{"aud": "another", "sub": strings.Repeat("x", 5000)}), false},
		{"for later", nil, tokens(200, map[string]any{"nbf": time.Now().Add(time.Hour).Unix(), "sub": strings.Repeat("x", 5000)}), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := oidc(idp, auth.OIDCConfig{Claims: tt.claims})
			most := int64(most)
			if !tt.accepted {
				most = 256 << 10
			}
			_, _ = v.Verify(bearer(tt.tokens[0])) // fetches the keys
			before := requesttest.Heap()
			for range 2 {
				for _, token := range tt.tokens {
					if _, err := v.Verify(bearer(token)); (err == nil) != tt.accepted {
						t.Fatal(err)
					}
				}
			}
			if grown := int64(requesttest.Heap()) - int64(before); grown > most {
				t.Errorf("%d tokens are remembered in %d KiB", len(tt.tokens), grown>>10)
			}
			_, _ = v.Verify(requesttest.New()) // keeps v
		})
	}
}

// If an issuer repeatedly replaces a large key set, only the last one stays in memory.
func TestMemoryKeepsNoOldKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example")
		v := idp.verifier(t)
		large := make([]any, 1000)
		for i := range 999 {
			large[i] = object{"kty": "RSA", "kid": fmt.Sprint(i), "e": "AQAB", "n": base64URL(bytes.Repeat([]byte{0xff}, 500))}
		}
		before := uint64(0)
		for i := range 15 {
			kid := fmt.Sprint("rotated-", i)
			large[999] = jwk(ecKey(), object{"kid": kid})
			idp.mu.Lock()
			idp.document = keySet(large...)
			idp.mu.Unlock()
			if _, err := v.Verify(bearer(token(jose.ES256, kid, ecKey(), idp.claims(object{"jti": i})))); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				before = requesttest.Heap()
			}
			time.Sleep(31 * time.Second)
		}
		if grown := int64(requesttest.Heap()) - int64(before); grown > 2<<20 {
			t.Errorf("15 key sets are kept in %d KiB", grown>>10)
		}
		_, _ = v.Verify(requesttest.New()) // keeps v
	})
}

// An expired token is dropped from the cache on its next use.
func TestMemoryForgetsExpiredTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		v := idp.verifier(t)
		var requests []*http.Request
		for i := range 80 {
			requests = append(requests, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{
				"jti": i, "sub": strings.Repeat("x", 10_000), "exp": time.Now().Add(time.Minute).Unix()}))))
		}
		ask := func() {
			for _, r := range requests {
				_, _ = v.Verify(r)
			}
		}
		ask()
		full := requesttest.Heap()
		time.Sleep(3 * time.Minute)
		ask()
		if freed := int64(full) - int64(requesttest.Heap()); freed < 500<<10 {
			t.Errorf("80 tokens of 10 kB have expired, and %d KiB are free again", freed>>10)
		}
		_, _ = v.Verify(requesttest.New()) // keeps v
		runtime.KeepAlive(requests)
	})
}

// A token in use is verified only once, however many others arrive, and again after it was dropped.
func TestMemoryKeepsUsedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		v := idp.verifier(t)
		often := bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil)))
		verifies := func(r *http.Request) bool {
			remembered := auth.Remembers(v, r)
			_, _ = v.Verify(r)
			return !remembered
		}
		_, _ = v.Verify(often)
		if verifies(often) {
			t.Error("verified again at once")
		}
		var others []*http.Request
		for i := range 4000 {
			others = append(others, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"jti": i}))))
		}
		for i, r := range others {
			_, _ = v.Verify(r)
			if i%100 == 0 && verifies(often) {
				t.Fatalf("verified again after %d others", i)
			}
		}
		if !verifies(others[0]) {
			t.Error("4,000 tokens are remembered")
		}
		time.Sleep(keysOld - time.Second)
		if verifies(often) {
			t.Error("verified again while the keys are young")
		}
		time.Sleep(time.Second)
		_, _ = v.Verify(often)
		synctest.Wait()
		if !verifies(often) || verifies(often) {
			t.Error("not verified exactly once with refetched keys")
		}
	})
}

const keysOld = 10 * time.Minute

func negated(signature []byte) []byte {
	n := ecKey().(*ecdsa.PrivateKey).Params().N
	s := new(big.Int).SetBytes(signature[32:])
	return slices.Concat(signature[:32], s.Sub(n, s).FillBytes(make([]byte, 32)))
}
