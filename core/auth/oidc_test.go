package auth_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/cors"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// Keys for the tests, generated once, because RSA is slow.
var (
	rsaKey   = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSA = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	otherECs = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	largeECs = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	audience = "orga-test"
	kid1     = "kid-1"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issuer is an OpenID Connect provider with discovery and rotatable keys. It is a handler, and also a transport, for use
// in a synctest bubble.
type issuer struct {
	url string // as it calls itself

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	asked    int // for keys
	asked1   int // for discovery
	fault    string
	document string // answered instead of the keys, when set
}

func newIssuer(url string, keys ...jose.JSONWebKey) *issuer { return &issuer{url: url, keys: keys} }

// public returns the key as published by an issuer.
func public(id string, key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: "sig"}
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	discovery := strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration")
	if discovery {
		i.asked1++
	} else {
		i.asked++
	}
	if i.fault != "" {
		http.Error(w, i.fault, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case discovery:
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.url, "jwks_uri": strings.TrimSuffix(i.url, "/") + "/keys",
			"authorization_endpoint": i.url + "/authorize", "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	case i.document != "":
		_, _ = w.Write([]byte(i.document))
	default:
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
	}
}

// RoundTrip calls the handler directly.
func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	hangs := i.fault == "hangs"
	i.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	return w.Result(), nil
}

func (i *issuer) set(fault string, keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = fault
	if keys != nil {
		i.keys = keys
	}
}

// counts returns the number of fetches of discovery and of keys.
func (i *issuer) counts() (discovery, keys int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked1, i.asked
}

func (i *issuer) fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// claims returns valid claims with changes; a nil value omits the claim.
func (i *issuer) claims(changes map[string]any) map[string]any {
	c := map[string]any{"iss": i.url, "aud": audience, "sub": "ada", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token returns claims as a signed compact JWT.
func token(alg jose.SignatureAlgorithm, kid string, key any, claims map[string]any) string {
	signing := key
	if kid != "" {
		signing = jose.JSONWebKey{Key: key, KeyID: kid}
	}
	s := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signing}, (&jose.SignerOptions{}).WithType("JWT")))
	return must(must(s.Sign(must(json.Marshal(claims)))).CompactSerialize())
}

// verifier returns a verifier for an issuer without a network.
func (i *issuer) verifier(testing.TB) auth.Verifier { return oidc(i, auth.OIDCConfig{Issuer: i.url}) }

// oidc returns a verifier for an issuer behind a transport. cfg defaults to https://id.example's configuration.
func oidc(t http.RoundTripper, cfg auth.OIDCConfig) auth.Verifier {
	cfg.Issuer = cmp.Or(cfg.Issuer, "https://id.example")
	if cfg.Audiences == nil {
		cfg.Audiences = []string{audience}
	}
	return must((&auth.Issuers{Transport: t}).OIDC(cfg))
}

// unreachable is a transport that always fails.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("unreachable")}
}

func bearer(token string) *http.Request { return requesttest.New("Authorization", "Bearer "+token) }

// Tokens like those of the providers in docs/policy.md, over HTTP.
func TestOIDCProviders(t *testing.T) {
	for _, tt := range []struct {
		name     string
		path     string // of the issuer's URL
		audience string
		alg      jose.SignatureAlgorithm
		key      crypto.Signer
		claims   map[string]any
	}{
		{"Auth0: an issuer with a slash, two audiences", "/", "https://api.example", jose.RS256, rsaKey(), map[string]any{
			"aud": []string{"https://api.example", "https://dev-test.auth0.example/userinfo"}, "azp": "a-client", "scope": "openid", "sub": "auth0|ada"}},
		{"Cognito: an id token", "/us-east-1_test", "a-client", jose.RS256, rsaKey(), map[string]any{
			"aud": "a-client", "token_use": "id", "cognito:username": "ada", "email_verified": true}},
		{"Cognito: an access token", "/us-east-1_test", "a-client", jose.RS256, rsaKey(), map[string]any{
			"aud": nil, "client_id": "a-client", "token_use": "access", "username": "ada", "scope": "aws.cognito.signin.user.admin"}},
		{"Firebase", "/a-project", "a-project", jose.RS256, rsaKey(), map[string]any{
			"aud": "a-project", "user_id": "ada", "firebase": map[string]any{"identities": map[string]any{}, "sign_in_provider": "anonymous"}}},
		{"Supabase: asymmetric keys", "/auth/v1", "authenticated", jose.ES256, ecKey(), map[string]any{
			"aud": "authenticated", "role": "authenticated", "session_id": "a-session", "is_anonymous": false}},
		{"Clerk: no audience, an authorized party", "", "https://app.example", jose.RS256, rsaKey(), map[string]any{
			"aud": nil, "azp": "https://app.example", "sid": "sess_test", "v": 2, "nbf": time.Now().Add(-10 * time.Second).Unix()}},
		{"Clerk: an audience from a template", "", "orga", jose.RS256, rsaKey(), map[string]any{"aud": "orga", "azp": "https://app.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			idp := newIssuer("", public(kid1, tt.key))
			server := httptest.NewServer(idp)
			defer server.Close()
			idp.url = server.URL + tt.path
			v, err := new(auth.Issuers).OIDC(auth.OIDCConfig{Issuer: idp.url, Audiences: []string{tt.audience}, Claims: []string{"iss"}})
			if err != nil {
				t.Fatal(err)
			}
			p, err := v.Verify(bearer(token(tt.alg, kid1, tt.key, idp.claims(tt.claims))))
			if err != nil {
				t.Fatal(err)
			}
			want := cmp.Or(tt.claims["sub"], any("ada"))
			if p.Subject != want || p.Issuer != idp.url || p.Claims["iss"] != idp.url {
				t.Errorf("principal %+v", p)
			}

			// After a rotation, the first token is signed with the new key.
			next := map[jose.SignatureAlgorithm]crypto.Signer{jose.RS256: otherRSA(), jose.ES256: otherECs()}[tt.alg]
			idp.set("", public("kid-2", next))
			if _, err := v.Verify(bearer(token(tt.alg, "kid-2", next, idp.claims(tt.claims)))); err != nil {
				t.Errorf("fault 21: after a rotation: %v", err)
			}
			if idp.fetches() != 2 || idp.asked1 != 1 {
				t.Errorf("fault 21: %d fetches of keys and %d of discovery, want 2 and 1", idp.fetches(), idp.asked1)
			}
			if _, err := v.Verify(bearer(token(tt.alg, kid1, tt.key, idp.claims(tt.claims)))); err == nil {
				t.Error("a token of a key that was withdrawn is accepted")
			}
		})
	}
}

// fault 20: while no fetch is allowed, a bad signature is checked only once per key.
func TestBadSignatureIsTriedOnce(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, rsaKey()))
	v := idp.verifier(t)
	verify := func(token string) float64 {
		r := bearer(token)
		return testing.AllocsPerRun(100, func() { _, _ = v.Verify(r) })
	}
	forged := token(jose.RS256, kid1, otherRSA(), idp.claims(nil))
	bad, unknown := verify(forged), verify(token(jose.RS256, "kid-9", otherRSA(), idp.claims(nil)))
	jws := must(jose.ParseSignedCompact(forged, []jose.SignatureAlgorithm{jose.RS256}))
	one := testing.AllocsPerRun(100, func() { _, _ = jws.Verify(rsaKey().Public()) })
	if tries := (bad - unknown) / one; tries > 1.5 {
		t.Errorf("%.1f tries: a bad signature takes %v allocations, an unknown key %v, and a try %v", tries, bad, unknown, one)
	}
}

func TestOIDCRefuses(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, rsaKey()), public("kid-ec", ecKey()))
	h, m := whole(idp.verifier(t))
	if w := requesttest.Serve(h, bearer(token(jose.RS256, kid1, rsaKey(), idp.claims(nil)))); w.Code != 200 {
		t.Fatalf("a good token: %d %s", w.Code, w.Body)
	}
	m.N = 0

	part := base64.RawURLEncoding.EncodeToString
	payload := part(must(json.Marshal(idp.claims(nil))))
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(rsaKey().Public()))})
	good := token(jose.RS256, kid1, rsaKey(), idp.claims(nil))
	with := func(changes map[string]any) string { return token(jose.RS256, kid1, rsaKey(), idp.claims(changes)) }
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	signed := func(payload string) string {
		s := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: rsaKey(), KeyID: kid1}}, nil))
		return must(must(s.Sign([]byte(payload))).CompactSerialize())
	}
	past, future := fmt.Sprint(at(-time.Hour)), fmt.Sprint(at(time.Hour))
	bodies := map[string]string{}
	for _, tt := range []struct{ name, token string }{
		{"fault 18: alg none", part([]byte(`{"alg":"none","kid":"kid-1"}`)) + "." + payload + "."},
		{"fault 18: alg None", part([]byte(`{"alg":"None","kid":"kid-1"}`)) + "." + payload + "."},
		{"fault 18: no alg", part([]byte(`{"kid":"kid-1"}`)) + "." + payload + "." + part([]byte("x"))},
		{"fault 18: HS256 with the public key", token(jose.HS256, kid1, publicPEM, idp.claims(nil))},
		{"fault 18: HS256 with the public key's JWK", token(jose.HS256, kid1, must(public(kid1, rsaKey()).MarshalJSON()), idp.claims(nil))},
		{"ES384 under the id of an RSA key", token(jose.ES384, kid1, largeECs(), idp.claims(nil))},
		{"another's key under a known id", token(jose.RS256, kid1, otherRSA(), idp.claims(nil))},
		{"another's key under the id of another kind", token(jose.ES256, kid1, otherECs(), idp.claims(nil))},
		{"an unknown key id", token(jose.RS256, "unknown", otherRSA(), idp.claims(nil))},
		{"no key id, and nobody's key", token(jose.RS256, "", otherRSA(), idp.claims(nil))},
		{"fault 19: wrong issuer", with(map[string]any{"iss": "https://id.example/"})},
		{"fault 19: no issuer", with(map[string]any{"iss": nil})},
		{"fault 19: wrong audience", with(map[string]any{"aud": "another"})},
		{"fault 19: audience in another case", with(map[string]any{"aud": "Orga-Test"})},
		{"fault 19: wrong audiences", with(map[string]any{"aud": []string{"another", "orga"}})},
		{"fault 19: no audience", with(map[string]any{"aud": nil})},
		{"fault 19: an empty list of audiences", with(map[string]any{"aud": []string{}, "azp": audience})},
		{"fault 19: wrong audience, our client", with(map[string]any{"aud": "another", "azp": audience, "client_id": audience})},
		{"fault 19: no audience, another client", with(map[string]any{"aud": nil, "client_id": "another"})},
		{"fault 19: an audience that is a number", with(map[string]any{"aud": 1})},
		{"fault 19: expired 62 s ago", with(map[string]any{"exp": at(-62 * time.Second)})},
		{"fault 19: no exp", with(map[string]any{"exp": nil})},
		{"fault 19: exp is null, not a number", with(map[string]any{"exp": json.RawMessage("null")})},
		{"fault 19: exp is a string", with(map[string]any{"exp": "tomorrow"})},
		{"fault 19: exp is a number in a string", with(map[string]any{"exp": "4000000000"})},
		{"fault 19: exp is beyond all time", with(map[string]any{"exp": json.RawMessage("1e300")})},
		{"fault 19: exp is beyond what 64 bits hold", with(map[string]any{"exp": json.RawMessage("1e19")})},
		{"fault 19: exp is the last that 64 bits hold", with(map[string]any{"exp": json.RawMessage("9223372036854775807")})},
		{"fault 19: exp is beyond what any float holds", with(map[string]any{"exp": json.RawMessage("1e999")})},
		{"fault 19: exp is below zero", with(map[string]any{"exp": -1})},
		{"fault 19: nbf in 62 s", with(map[string]any{"nbf": at(62 * time.Second)})},
		{"fault 19: nbf is a string", with(map[string]any{"nbf": "yesterday"})},
		{"fault 19: nbf is a number in a string", with(map[string]any{"nbf": "1"})},
		{"fault 19: nbf is beyond all time", with(map[string]any{"nbf": json.RawMessage("1e300")})},
		{"fault 19: nbf is beyond what 64 bits hold", with(map[string]any{"nbf": json.RawMessage("1e19")})},
		{"fault 19: nbf is the last that 64 bits hold", with(map[string]any{"nbf": json.RawMessage("9223372036854775807")})},
		{"fault 19: another issuer, and ours in another case", signed(`{"iss":"https://other","ISS":"https://id.example","aud":"orga-test","exp":` + future + `}`)},
		{"fault 19: our issuer in another case alone", signed(`{"ISS":"https://id.example","aud":"orga-test","exp":` + future + `}`)},
		{"fault 19: another audience, and ours in another case", signed(`{"iss":"https://id.example","aud":"other","AUD":"orga-test","exp":` + future + `}`)},
		{"fault 19: our audience in another case alone", signed(`{"iss":"https://id.example","AUD":"orga-test","exp":` + future + `}`)},
		{"fault 19: expired, and an exp in another case", signed(`{"iss":"https://id.example","aud":"orga-test","exp":` + past + `,"Exp":` + future + `}`)},
		{"fault 19: exp in another case alone", signed(`{"iss":"https://id.example","aud":"orga-test","EXP":` + future + `}`)},
		{"fault 19: a list with the audience and a number", with(map[string]any{"aud": []any{audience, 1}})},
		{"fault 19: a list with the audience and null", with(map[string]any{"aud": []any{audience, nil}})},
		{"fault 19: an audience that is an object", with(map[string]any{"aud": map[string]any{audience: audience}})},
		{"a subject that is a list", with(map[string]any{"sub": []string{"ada"}})},
		{"a subject that is an object", with(map[string]any{"sub": map[string]any{"id": "ada"}})},
		{"a subject that is true", with(map[string]any{"sub": true})},
		{"claims that are a list", signed(`[]`)},
		{"claims that are null", signed(`null`)},
		{"a changed payload", strings.Join([]string{strings.Split(good, ".")[0], part([]byte(`{"iss":"https://id.example","aud":"orga-test","sub":"eve","exp":99999999999}`)), strings.Split(good, ".")[2]}, ".")},
		{"no signature", good[:strings.LastIndex(good, ".")+1]},
		{"a payload that is not JSON", signed("not JSON")},
		{"JSON serialization", func() string {
			s := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: rsaKey(), KeyID: kid1}}, nil))
			full := must(s.Sign(must(json.Marshal(idp.claims(nil))))).FullSerialize()
			return strings.Replace(full, "{", `{"two dots":"..",`, 1)
		}()},
		{"fault 52: over 16 KiB, and all else good", with(map[string]any{"pad": strings.Repeat("a", 12_200)})},
		{"fault 22: 1 MB", strings.Repeat("a", 1<<20)},
		{"fault 22: 1 MB in three parts", strings.Repeat("a", 1<<19) + "." + strings.Repeat("a", 1<<19) + ".a"},
		{"fault 22: 100,000 dots", strings.Repeat(".", 100_000)},
		{"fault 22: three dots", "a.b.c.d"},
		{"two dots alone", ".."},
		{"nothing", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m.N = 0
			start := time.Now()
			r := bearer(tt.token)
			r.Header.Set("X-Request-Id", "the-same")
			w := requesttest.Serve(h, r)
			if got := requesttest.Code(t, w); got != "unauthenticated" || m.N != 0 {
				t.Errorf("code %q, minted %d times", got, m.N)
			}
			if took := time.Since(start); strings.HasPrefix(tt.name, "fault 22") && took > time.Second {
				t.Errorf("refused after %v", took)
			}
			bodies[w.Body.String()] = tt.name
		})
	}
	if len(bodies) != 1 {
		t.Errorf("fault 19: %d different bodies: %v", len(bodies), bodies)
	}
	for _, tt := range []struct{ name, token string }{
		{"expired 58 s ago", with(map[string]any{"exp": at(-58 * time.Second)})},
		{"nbf in 58 s", with(map[string]any{"nbf": at(58 * time.Second)})},
		{"nbf with a fraction", with(map[string]any{"nbf": json.RawMessage("1.5e3")})},
		{"nbf is 0", with(map[string]any{"nbf": 0})},
		{"our claims, and others in another case", signed(`{"iss":"https://id.example","aud":"orga-test","exp":` + future + `,"ISS":"https://other","AUD":"other","Exp":` + past + `,"NBF":` + future + `}`)},
		{"no subject", with(map[string]any{"sub": nil})},
		{"a list with the audience", with(map[string]any{"aud": []string{"another", audience}})},
		{"no key id", token(jose.RS256, "", rsaKey(), idp.claims(nil))},
		{"ES256", token(jose.ES256, "kid-ec", ecKey(), idp.claims(nil))},
	} {
		if w := requesttest.Serve(h, bearer(tt.token)); w.Code != 200 {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}

// Claim names are case-sensitive (RFC 7519, section 10.1.1): Sub is not a subject.
func TestOIDCClaimNamesAreCaseSensitive(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := oidc(idp, auth.OIDCConfig{Claims: []string{"SUB"}})
	p, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"sub": nil, "SUB": "eve"}))))
	if err != nil || p.Subject != "" || p.Claims["SUB"] != "eve" {
		t.Errorf("principal %+v, %v", p, err)
	}
}

// The times of a cached token are checked on each use.
func TestCachedTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		h, m := whole(idp.verifier(t))
		r := bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"exp": time.Now().Add(time.Minute).Unix()})))
		requesttest.Serve(h, r)
		time.Sleep(2 * time.Minute)
		requesttest.Serve(h, r)
		if m.N != 2 {
			t.Errorf("minted %d times until the leeway ended, want 2", m.N)
		}
		time.Sleep(time.Second)
		if w := requesttest.Serve(h, r); requesttest.Code(t, w) != "unauthenticated" {
			t.Errorf("after it: %d", w.Code)
		}
	})
}

func TestCachedTokenNeedsCurrentKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		h, _ := whole(idp.verifier(t))
		old := bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil)))
		requesttest.Serve(h, old)
		idp.set("", public("kid-2", otherECs()))
		requesttest.Serve(h, bearer(token(jose.ES256, "kid-2", otherECs(), idp.claims(nil))))
		if w := requesttest.Serve(h, old); requesttest.Code(t, w) != "unauthenticated" {
			t.Errorf("a token of a withdrawn key: %d", w.Code)
		}
	})
}

func TestOIDCCooldown(t *testing.T) {
	var tokens [100]string // half with unknown key ids, half with bad signatures
	for i := range tokens {
		kid := kid1
		if i%2 == 0 {
			kid = fmt.Sprintf("random-%d", i)
		}
		tokens[i] = token(jose.ES256, kid, otherECs(), newIssuer("https://id.example").claims(nil))
	}
	bad := func(i int) *http.Request { return bearer(tokens[i%len(tokens)]) }
	t.Run("fault 20: 1,000 bad tokens, keys cached", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, m := whole(idp.verifier(t))
			requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
			for range 2 {
				before := idp.fetches()
				for i := range 1000 {
					if i == 500 {
						time.Sleep(29 * time.Second)
					}
					requesttest.Serve(h, bad(i))
				}
				if n := idp.fetches() - before; n != 1 {
					t.Errorf("%d fetches in 29 s, want 1", n)
				}
				time.Sleep(2 * time.Second)
			}
			if m.N != 1 {
				t.Errorf("minted %d times", m.N)
			}
		})
	})
	t.Run("fault 20: 1,000 bad tokens at once, cold", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			v := idp.verifier(t)
			var wg sync.WaitGroup
			for i := range 1000 {
				wg.Go(func() { _, _ = v.Verify(bad(i)) })
			}
			wg.Wait()
			if n := idp.fetches(); n != 1 {
				t.Errorf("%d fetches in 30 s, want 1", n)
			}
		})
	})
	t.Run("fault 20: bad tokens while the first is being checked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example")
			for i := range 32 { // with all of which a token without a key id is tried: that takes its time
				idp.keys = append(idp.keys, public(fmt.Sprint(i), ecKey()))
			}
			v := idp.verifier(t)
			checked := make(chan struct{})
			go func() {
				defer close(checked)
				_, _ = v.Verify(bearer(token(jose.ES256, "", otherECs(), idp.claims(nil))))
			}()
			impatient, cancel := context.WithCancel(t.Context()) // waits for no fetch, and so comes again and again
			cancel()
			for r := bad(0).WithContext(impatient); ; {
				_, _ = v.Verify(r)
				select {
				case <-checked:
					synctest.Wait()
					if n := idp.fetches(); n != 1 {
						t.Errorf("%d fetches, want 1", n)
					}
					return
				default:
				}
			}
		})
	})
	t.Run("fault 20: bad tokens around the first good one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, m := whole(idp.verifier(t))
			for range 3 {
				requesttest.Serve(h, bad(0))
				requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
				time.Sleep(9 * time.Second)
			}
			if n := idp.fetches(); n != 1 || m.N != 3 {
				t.Errorf("%d fetches in 27 s, want 1; minted %d times", n, m.N)
			}
		})
	})
	t.Run("fault 20: a bad token after a rotation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, m := whole(idp.verifier(t))
			requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
			idp.set("", public("kid-2", largeECs()))
			requesttest.Serve(h, bearer(token(jose.ES384, "kid-2", largeECs(), idp.claims(nil))))
			for i := range 10 {
				requesttest.Serve(h, bad(i))
			}
			if n := idp.fetches(); n != 2 || m.N != 2 {
				t.Errorf("%d fetches, want 2; minted %d times", n, m.N)
			}
		})
	})
	t.Run("fault 20: keys that verified no token are refetched after 30 s", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, _ := whole(idp.verifier(t))
			for want := 1; want < 4; want++ {
				for i := range 10 {
					requesttest.Serve(h, bad(i))
				}
				if n := idp.fetches(); n != want {
					t.Errorf("%d fetches, want %d", n, want)
				}
				time.Sleep(30 * time.Second)
			}
		})
	})
	t.Run("fault 21: the first fetch starts no cooldown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, m := whole(idp.verifier(t))
			requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
			idp.set("", public("kid-2", otherECs()))
			requesttest.Serve(h, bearer(token(jose.ES256, "kid-2", otherECs(), idp.claims(nil))))
			if m.N != 2 || idp.fetches() != 2 {
				t.Errorf("minted %d times with %d fetches, want 2 and 2", m.N, idp.fetches())
			}
		})
	})
	t.Run("fault 21: the issuer is down, a known key ID", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, m := whole(idp.verifier(t))
			requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
			for _, fault := range []string{"out", "hangs"} {
				idp.set(fault)
				requesttest.Serve(h, bad(0)) // asks, in vain
				time.Sleep(time.Minute)
				start := time.Now()
				requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"jti": fault}))))
				if time.Since(start) > 0 {
					t.Errorf("%s: a token with a known key waited for the issuer", fault)
				}
			}
			if m.N != 3 {
				t.Errorf("minted %d times, want 3", m.N)
			}
		})
	})
	for name, document := range map[string]string{
		"no keys": `{"keys":[]}`, "no JSON": `<html>`, "nothing": `{}`, "null": `null`, "symmetric keys": `{"keys":[{"kty":"oct","kid":"kid-1","k":"c2VjcmV0"}]}`,
		"too large": `{"keys":[],"x":"` + strings.Repeat("a", 300<<10) + `"}`,
	} {
		t.Run("an answer with "+name+" replaces no keys", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				idp := newIssuer("https://id.example", public(kid1, ecKey()))
				h, m := whole(idp.verifier(t))
				requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))
				idp.document = document
				requesttest.Serve(h, bad(0))
				requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(map[string]any{"jti": "2"}))))
				if m.N != 2 || idp.fetches() != 2 {
					t.Errorf("minted %d times with %d fetches, want 2 and 2", m.N, idp.fetches())
				}
			})
		})
	}
}

func TestOIDCWithoutAnyKeys(t *testing.T) {
	t.Run("503, remembered for a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, m := whole(idp.verifier(t))
			good := bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil)))
			idp.set("out")
			for range 100 {
				w := requesttest.Serve(h, good)
				if requesttest.Code(t, w) != "auth_unavailable" || w.Header().Get("Retry-After") != "1" {
					t.Fatalf("code %q, Retry-After %q", requesttest.Code(t, w), w.Header().Get("Retry-After"))
				}
			}
			if idp.asked1 != 1 {
				t.Errorf("the issuer was asked %d times, want once", idp.asked1)
			}
			idp.set("")
			time.Sleep(time.Second)
			if w := requesttest.Serve(h, good); w.Code != 200 || m.N != 1 {
				t.Errorf("the issuer is back: %d", w.Code)
			}
			idp.set("", public("kid-2", otherECs()))
			if w := requesttest.Serve(h, bearer(token(jose.ES256, "kid-2", otherECs(), idp.claims(nil)))); w.Code != 200 {
				t.Errorf("fault 21: a rotation right after it: %d", w.Code)
			}
		})
	})
	t.Run("one fetch with its own deadline serves all callers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			h, _ := whole(idp.verifier(t))
			good := token(jose.ES256, kid1, ecKey(), idp.claims(nil))
			idp.set("hangs")
			start := time.Now()
			var wg sync.WaitGroup
			ask := func(timeout time.Duration, left func(context.CancelFunc), code string, after time.Duration) {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				left(cancel)
				w := requesttest.Serve(h, bearer(good).WithContext(ctx))
				if took := time.Since(start); requesttest.Code(t, w) != code || took != after {
					t.Errorf("%v: code %q after %v, want %q after %v", timeout, requesttest.Code(t, w), took, code, after)
				}
			}
			stays := func(context.CancelFunc) {}
			leaves := func(cancel context.CancelFunc) { time.AfterFunc(time.Second, cancel) }
			wg.Go(func() { ask(100*time.Millisecond, stays, "auth_unavailable", 75*time.Millisecond) }) // the one that starts the fetch
			synctest.Wait()
			wg.Go(func() { ask(8*time.Second, leaves, "client_gone", time.Second) })
			for range 98 { // a quarter of their time is left for the mint
				wg.Go(func() { ask(8*time.Second, stays, "auth_unavailable", 6*time.Second) })
			}
			wg.Go(func() { ask(time.Minute, stays, "auth_unavailable", 10*time.Second) })
			wg.Wait()
		})
	})
	t.Run("discovery", func(t *testing.T) {
		for _, tt := range []struct {
			name    string
			answer  http.HandlerFunc
			problem string
		}{
			{"of another issuer", func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"issuer":"https://id.example/","jwks_uri":"https://id.example/keys"}`)
			}, "byte for byte"},
			{"keys without TLS", func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"issuer":"https://id.example","jwks_uri":"http://id.example/keys"}`)
			}, "https"},
			{"no keys", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"issuer":"https://id.example"}`) }, "jwks_uri must be a URL"},
			{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://evil.example/", 302) }, "302"},
			{"HTML that names a secret", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>sk_orga_ai_test") }, "JSON"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var log bytes.Buffer
				issuers := auth.Issuers{Log: slog.New(slog.NewTextHandler(&log, nil)), Transport: transport(func(r *http.Request) *http.Response {
					if r.URL.Host != "id.example" {
						t.Errorf("%s was asked", r.URL)
					}
					w := httptest.NewRecorder()
					tt.answer(w, r)
					return w.Result()
				})}
				v := must(issuers.OIDC(auth.OIDCConfig{Issuer: "https://id.example", Audiences: []string{audience}}))
				h, _ := whole(v)
				if got := requesttest.Code(t, requesttest.Serve(h, bearer("a.b.c"))); got != "unauthenticated" {
					t.Errorf("an invalid token: code %q", got)
				}
				idp := newIssuer("https://id.example")
				if got := requesttest.Code(t, requesttest.Serve(h, bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil))))); got != "auth_unavailable" {
					t.Errorf("code %q", got)
				}
				if !strings.Contains(log.String(), tt.problem) || strings.Contains(log.String(), "sk_orga") {
					t.Errorf("the log says %q, want %q in it", &log, tt.problem)
				}
			})
		}
	})
}

// transport is a function that answers.
type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func TestOIDCConfiguredKeys(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, ecKey()))
	v := oidc(idp, auth.OIDCConfig{JWKSURL: "https://keys.example/all?v=1"})
	if _, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil)))); err != nil || idp.asked1 != 0 {
		t.Errorf("%v, discovery asked %d times", err, idp.asked1)
	}
}

func TestOIDCKeysURLChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		at := "/old"
		v := oidc(transport(func(r *http.Request) *http.Response {
			w := httptest.NewRecorder()
			switch r.URL.Path {
			case "/.well-known/openid-configuration":
				fmt.Fprintf(w, `{"issuer":"https://id.example","jwks_uri":"https://id.example%s"}`, at)
			case at:
				idp.ServeHTTP(w, r)
			default:
				http.NotFound(w, r)
			}
			return w.Result()
		}), auth.OIDCConfig{})
		if _, err := v.Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil)))); err != nil {
			t.Fatal(err)
		}
		at = "/new"
		idp.set("", public("kid-2", otherECs()))
		next := token(jose.ES256, "kid-2", otherECs(), idp.claims(nil))
		if _, err := v.Verify(bearer(next)); err == nil {
			t.Error("accepted with keys that are not there any more")
		}
		time.Sleep(30 * time.Second)
		if _, err := v.Verify(bearer(next)); err != nil {
			t.Errorf("after the cooldown: %v", err)
		}
	})
}

// Old keys are refetched, so that a withdrawn (leaked) key is no longer trusted. No caller waits for that, unless the instance
// was idle for long.
func TestOIDCKeysAreRefreshed(t *testing.T) {
	const old = 10 * time.Minute
	issued := func(idp *issuer, kid string, key crypto.Signer) *http.Request {
		return bearer(token(jose.ES256, kid, key, idp.claims(nil)))
	}
	// start returns a verifier that has accepted the token once.
	start := func(t *testing.T) (*issuer, http.Handler, *http.Request) {
		t.Helper()
		idp := newIssuer("https://id.example", public(kid1, ecKey()))
		h, _ := whole(idp.verifier(t))
		good := issued(idp, kid1, ecKey())
		if w := requesttest.Serve(h, good); w.Code != 200 {
			t.Fatalf("a good token: %d", w.Code)
		}
		return idp, h, good
	}
	t.Run("a withdrawn key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp, h, leaked := start(t)
			idp.set("", public("kid-2", otherECs()))
			time.Sleep(old - time.Second)
			requesttest.Serve(h, leaked)
			synctest.Wait()
			if n := idp.fetches(); n != 1 {
				t.Errorf("%d fetches while the keys are young, want 1", n)
			}
			time.Sleep(time.Second)
			if w := requesttest.Serve(h, leaked); w.Code != 200 {
				t.Errorf("the one that finds the keys old: %d, want the cached keys", w.Code)
			}
			synctest.Wait()
			if got := requesttest.Code(t, requesttest.Serve(h, leaked)); got != "unauthenticated" {
				t.Errorf("the next: code %q", got)
			}
			if got := requesttest.Code(t, requesttest.Serve(h, issued(idp, "kid-2", otherECs()))); got != "" {
				t.Errorf("a token of the key that is there: code %q", got)
			}
		})
	})
	t.Run("one fetch for all, and the next ten minutes later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp, h, good := start(t)
			for want := 2; want < 5; want++ {
				time.Sleep(old)
				for range 100 {
					requesttest.Serve(h, good)
				}
				synctest.Wait()
				if n := idp.fetches(); n != want {
					t.Errorf("%d fetches, want %d", n, want)
				}
			}
		})
	})
	for _, fault := range []string{"out", "hangs"} {
		t.Run("fault 21: the keys are old, and the issuer "+fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				idp := newIssuer("https://id.example", public(kid1, ecKey()))
				v := oidc(counting{idp, &asked}, auth.OIDCConfig{JWKSURL: idp.url + "/keys"})
				h, _ := whole(v)
				requesttest.Serve(h, issued(idp, kid1, ecKey()))
				idp.set(fault)
				time.Sleep(old)
				synctest.Wait()
				asked = 0
				for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(time.Second) {
					at := time.Now()
					if w := requesttest.Serve(h, issued(idp, kid1, ecKey())); w.Code != 200 || time.Since(at) > 0 {
						t.Fatalf("a token with a known key: %d after %v", w.Code, time.Since(at))
					}
					requesttest.Serve(h, issued(idp, "unknown", otherECs()))
				}
				synctest.Wait()
				if asked != 2 {
					t.Errorf("asked %d times in a minute, want 2", asked)
				}
				idp.set("", public("kid-2", otherECs()))
				time.Sleep(30 * time.Second)
				if w := requesttest.Serve(h, issued(idp, "kid-2", otherECs())); w.Code != 200 {
					t.Errorf("the issuer is back: %d", w.Code)
				}
			})
		})
	}
	t.Run("fault 21: a rotation after the fetch is noticed at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp, h, good := start(t)
			time.Sleep(old)
			requesttest.Serve(h, good)
			synctest.Wait()
			idp.set("", public("kid-2", otherECs()))
			if w := requesttest.Serve(h, issued(idp, "kid-2", otherECs())); w.Code != 200 {
				t.Errorf("a token of the new key: %d", w.Code)
			}
		})
	})
	t.Run("fault 21: a token that needs newer keys waits for a fetch in flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp, h, _ := start(t)
			time.Sleep(old)
			idp.set("", public("kid-2", otherECs()))
			for range 2 {
				if w := requesttest.Serve(h, issued(idp, "kid-2", otherECs())); w.Code != 200 {
					t.Errorf("%d", w.Code)
				}
			}
			if n := idp.fetches(); n != 2 {
				t.Errorf("%d fetches, want 2", n)
			}
		})
	})
	// An instance that was idle has keys that may have been withdrawn hours ago, so everybody waits for the refetch.
	const idle = 20 * time.Minute
	for _, age := range []time.Duration{idle - time.Second, idle, 30 * time.Hour} {
		t.Run(fmt.Sprintf("a withdrawn key, after %v idle", age), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				idp := newIssuer("https://id.example", public(kid1, ecKey()))
				h := behind(oidc(slow{idp, 100 * time.Millisecond}, auth.OIDCConfig{}), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				issued := func(kid string, key crypto.Signer) *http.Request {
					return bearer(token(jose.ES256, kid, key, idp.claims(map[string]any{"exp": time.Now().Add(48 * time.Hour).Unix()})))
				}
				leaked := issued(kid1, ecKey())
				requesttest.Serve(h, leaked)
				idp.set("", public("kid-2", otherECs()))
				time.Sleep(age)
				// Discovery and keys, and the keys once more, because the key ID is now unknown.
				start, code, took, fetches := time.Now(), "unauthenticated", 300*time.Millisecond, 3
				if age < idle {
					code, took, fetches = "", 0, 2
				}
				var wg sync.WaitGroup
				for i := range 50 {
					r := leaked // verified before, or not
					if i%2 == 0 {
						r = issued(kid1, ecKey())
					}
					wg.Go(func() {
						got := requesttest.Code(t, requesttest.Serve(h, within(t, r, 8*time.Second)))
						if got != code || time.Since(start) != took {
							t.Errorf("code %q after %v, want %q after %v", got, time.Since(start), code, took)
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Second)
				if discovery, keys := idp.counts(); discovery != 2 || keys != fetches {
					t.Errorf("%d fetches of discovery and %d of keys, want 2 and %d", discovery, keys, fetches)
				}
				start = time.Now()
				if got := requesttest.Code(t, requesttest.Serve(h, issued("kid-2", otherECs()))); got != "" || time.Since(start) > 0 {
					t.Errorf("a token of the new key: code %q after %v", got, time.Since(start))
				}
			})
		})
	}
	for fault, waits := range map[string]time.Duration{"out": 0, "hangs": 8 * time.Second / 3} {
		t.Run("fault 21: the issuer "+fault+" after the instance was idle", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				idp := newIssuer("https://id.example", public(kid1, ecKey()))
				v := oidc(idp, auth.OIDCConfig{JWKSURL: idp.url + "/keys"})
				h := behind(v, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				good := issued(idp, kid1, ecKey())
				requesttest.Serve(h, good)
				idp.set(fault)
				ask := func(when string, want time.Duration) {
					t.Helper()
					start := time.Now()
					good := issued(idp, kid1, ecKey())
					var wg sync.WaitGroup
					for range 10 {
						wg.Go(func() {
							got := requesttest.Code(t, requesttest.Serve(h, within(t, good, 8*time.Second)))
							if took := time.Since(start); got != "" || took.Round(time.Millisecond) != want.Round(time.Millisecond) {
								t.Errorf("%s: code %q after %v, want %v", when, got, took, want)
							}
						})
					}
					wg.Wait()
				}
				time.Sleep(idle)
				ask("the first", waits)
				time.Sleep(10 * time.Second)
				for range 100 { // the issuer is asked again and again
					ask("while it is down", 0)
					time.Sleep(5 * time.Second)
				}
				time.Sleep(idle)
				ask("after another sleep", waits)
				idp.set("", public("kid-2", otherECs()))
				time.Sleep(idle)
				if got := requesttest.Code(t, requesttest.Serve(h, issued(idp, kid1, ecKey()))); got != "unauthenticated" {
					t.Errorf("the issuer is back, and has withdrawn the key: code %q", got)
				}
			})
		})
	}
	t.Run("a refetch interrupted by a freeze is replaced", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			idp := newIssuer("https://id.example", public(kid1, ecKey()))
			dead, fetches := make(chan struct{}), 0
			issuers := auth.Issuers{Transport: transport(func(r *http.Request) *http.Response {
				if fetches++; fetches == 2 {
					<-dead // the connection is silent
				}
				w := httptest.NewRecorder()
				idp.ServeHTTP(w, r)
				return w.Result()
			})}
			h, _ := whole(must(issuers.OIDC(auth.OIDCConfig{Issuer: idp.url, Audiences: []string{audience}, JWKSURL: idp.url + "/keys"})))
			requesttest.Serve(h, issued(idp, kid1, ecKey()))
			time.Sleep(old)
			if got := requesttest.Code(t, requesttest.Serve(h, issued(idp, kid1, ecKey()))); got != "" {
				t.Errorf("before the freeze: code %q", got)
			}
			synctest.Wait()
			issuers.Freeze(time.Hour)
			idp.set("", public("kid-2", otherECs()))
			start := time.Now()
			if got := requesttest.Code(t, requesttest.Serve(h, within(t, issued(idp, kid1, ecKey()), 8*time.Second))); got != "unauthenticated" || time.Since(start) > 0 {
				t.Errorf("a withdrawn key: code %q after %v", got, time.Since(start))
			}
			close(dead) // the old answer arrives, and changes nothing
			synctest.Wait()
			if got := requesttest.Code(t, requesttest.Serve(h, issued(idp, "kid-2", otherECs()))); got != "" || fetches != 4 { // one for the unknown key ID
				t.Errorf("a token of the new key: code %q after %d fetches", got, fetches)
			}
		})
	})
	for _, flood := range []bool{false, true} {
		t.Run(fmt.Sprintf("keys that have moved, bad tokens meanwhile: %t", flood), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				idp := newIssuer("https://id.example", public("kid-2", otherECs()))
				before := newIssuer("https://id.example", public(kid1, ecKey())) // what the old address still says
				at := "/old"
				h, _ := whole(oidc(transport(func(r *http.Request) *http.Response {
					w := httptest.NewRecorder()
					switch r.URL.Path {
					case "/.well-known/openid-configuration":
						fmt.Fprintf(w, `{"issuer":"https://id.example","jwks_uri":"https://id.example%s"}`, at)
					case "/old":
						before.ServeHTTP(w, r)
					default:
						idp.ServeHTTP(w, r)
					}
					return w.Result()
				}), auth.OIDCConfig{}))
				leaked := issued(idp, kid1, ecKey())
				requesttest.Serve(h, leaked)
				at = "/new"
				for range old / time.Minute {
					time.Sleep(time.Minute)
					if flood { // which has the keys of the old address fetched, so that they are never old
						requesttest.Serve(h, issued(idp, "unknown", ecKey()))
					}
				}
				requesttest.Serve(h, leaked)
				synctest.Wait()
				if got := requesttest.Code(t, requesttest.Serve(h, leaked)); got != "unauthenticated" {
					t.Errorf("a token of a key that only the old address has: code %q", got)
				}
				if w := requesttest.Serve(h, issued(idp, "kid-2", otherECs())); w.Code != 200 {
					t.Errorf("a token of the new address's key: %d", w.Code)
				}
			})
		})
	}
}

// counting is a transport that counts requests.
type counting struct {
	http.RoundTripper
	n *int
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.n++
	return c.RoundTripper.RoundTrip(r)
}

func TestOIDCIgnoresUnusableKeys(t *testing.T) {
	good := must(public(kid1, ecKey()).MarshalJSON())
	idp := newIssuer("https://id.example")
	idp.document = `{"keys":[{"kty":"OKP","crv":"Ed448","kid":"a","x":"AA"},{"kty":"EC","crv":"secp256k1","kid":"b"},42,null,` +
		`{"kty":"RSA","kid":"c","e":"AQAB"},{"kty":"oct","kid":"kid-1","k":"c2VjcmV0"},` + string(good) + `]}`
	if _, err := idp.verifier(t).Verify(bearer(token(jose.ES256, kid1, ecKey(), idp.claims(nil)))); err != nil {
		t.Error(err)
	}

	encryption := public(kid1, ecKey())
	encryption.Use = "enc"
	other := public(kid1, rsaKey())
	other.Algorithm = "RS512"
	for name, key := range map[string]jose.JSONWebKey{"for encryption": encryption, "for another algorithm": other, "of another curve": public(kid1, largeECs())} {
		idp := newIssuer("https://id.example", key)
		v := idp.verifier(t)
		for alg, signer := range map[jose.SignatureAlgorithm]crypto.Signer{jose.ES256: ecKey(), jose.RS256: rsaKey()} {
			if _, err := v.Verify(bearer(token(alg, kid1, signer, idp.claims(nil)))); err == nil {
				t.Errorf("a key %s is used for %s", name, alg)
			}
		}
	}
}

func TestNewOIDCFaults(t *testing.T) {
	sized := func(s string, size int) string { return s + strings.Repeat("a", size-len(s)) }
	good := auth.OIDCConfig{Issuer: "https://id.example", Audiences: []string{audience}}
	for _, tt := range []struct {
		name   string
		change func(*auth.OIDCConfig)
		want   string
	}{
		{"good", func(*auth.OIDCConfig) {}, ""},
		{"loopback issuer", func(c *auth.OIDCConfig) { c.Issuer = "http://127.0.0.1:9000" }, ""},
		{"localhost", func(c *auth.OIDCConfig) { c.Issuer = "http://localhost:9000" }, ""},
		{"IPv6 loopback keys", func(c *auth.OIDCConfig) { c.JWKSURL = "http://[::1]:9000/keys" }, ""},
		{"no audience", func(c *auth.OIDCConfig) { c.Audiences = nil }, "audience"},
		{"no issuer", func(c *auth.OIDCConfig) { c.Issuer = "" }, "issuer"},
		{"issuer without TLS", func(c *auth.OIDCConfig) { c.Issuer = "http://id.example" }, "issuer"},
		{"an issuer that looks like loopback", func(c *auth.OIDCConfig) { c.Issuer = "http://127.0.0.1.id.example" }, "issuer"},
		{"issuer without a scheme", func(c *auth.OIDCConfig) { c.Issuer = "id.example" }, "issuer"},
		{"issuer with a password", func(c *auth.OIDCConfig) { c.Issuer = "https://a:b@id.example" }, "issuer"},
		{"keys without TLS", func(c *auth.OIDCConfig) { c.JWKSURL = "http://id.example/keys" }, "JWKS"},
		{"an address of 2 KiB", func(c *auth.OIDCConfig) { c.JWKSURL = sized("https://id.example/", 2<<10) }, ""},
		{"one of a byte more", func(c *auth.OIDCConfig) { c.JWKSURL = sized("https://id.example/", 2<<10+1) }, "JWKS URL must be a URL of at most 2048 bytes"},
		{"a host of 261 bytes", func(c *auth.OIDCConfig) { c.Issuer = sized("https://", 8+261) }, ""},
		{"one of a byte more", func(c *auth.OIDCConfig) { c.Issuer = sized("https://", 8+262) }, "issuer"},
		{"keys in a file", func(c *auth.OIDCConfig) { c.JWKSURL = "file:///etc/passwd" }, "JWKS"},
		{"all at once", func(c *auth.OIDCConfig) { *c = auth.OIDCConfig{JWKSURL: "x"} }, "issuer is missing\nthe JWKS URL must be a URL with a host\nthe audience"},
	} {
		cfg := good
		tt.change(&cfg)
		_, err := new(auth.Issuers).OIDC(cfg)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "id.example") || strings.Contains(err.Error(), "passwd")) {
			t.Errorf("%s: the value is in the error: %v", tt.name, err)
		}
	}
}

// app is the page's origin.
const app = "https://app.example"

// chain wraps next in all policies, with a high limit.
func chain(t testing.TB, idp *issuer, next http.Handler) http.Handler {
	limit := throttle.Middleware(throttle.Options{Limiter: throttle.NewMemory(), Caller: ratelimit.Quotas{{N: 1 << 30, Per: time.Hour}}})
	pages, err := cors.New([]string{app})
	if err != nil {
		t.Fatal(err)
	}
	return pages.Mint(behind(idp.verifier(t), limit(next)))
}

func TestChainAllocatesLittle(t *testing.T) {
	idp := newIssuer("https://id.example", public(kid1, rsaKey()))
	m := new(requesttest.Minted)
	h := chain(t, idp, m)
	r := bearer(token(jose.RS256, kid1, rsaKey(), idp.claims(nil)))
	r.Header.Set("Origin", app)
	w := &discard{header: make(http.Header)}
	if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }); n > 40 || m.N != 101 {
		t.Errorf("%v allocations for a request, want 40 at most; minted %d times", n, m.N)
	}
}

func BenchmarkChain(b *testing.B) {
	idp := newIssuer("https://id.example", public(kid1, rsaKey()), public("kid-ec", ecKey()))
	claims := map[string]any{"nbf": time.Now().Unix(), "email": "ada@example.com", "email_verified": true, "name": "Ada L", "org": "acme"}
	rs := token(jose.RS256, kid1, rsaKey(), idp.claims(claims))
	es := token(jose.ES256, "kid-ec", ecKey(), idp.claims(claims))
	fresh := make([]string, 2*512)
	for i := range fresh {
		claims["jti"] = fmt.Sprint(i)
		fresh[i] = token(jose.RS256, kid1, rsaKey(), idp.claims(claims))
	}
	for _, bb := range []struct {
		name   string
		h      http.Handler
		tokens []string
	}{
		{"nothing", new(requesttest.Minted), []string{rs}},
		{"RS256", chain(b, idp, new(requesttest.Minted)), []string{rs}},
		{"ES256", chain(b, idp, new(requesttest.Minted)), []string{es}},
		{"RS256, a new token each time", chain(b, idp, new(requesttest.Minted)), fresh},
	} {
		b.Run(bb.name, func(b *testing.B) {
			requests := make([]*http.Request, len(bb.tokens))
			for i, token := range bb.tokens {
				requests[i] = bearer(token)
				requests[i].Header.Set("Origin", app)
			}
			w := new(discard)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				w.header = make(http.Header, 8)
				bb.h.ServeHTTP(w, requests[i%len(requests)])
				if i++; w.status != 200 {
					b.Fatal(w.status)
				}
			}
		})
	}
}

// discard is a ResponseWriter that drops everything.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
