package auth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

var (
	p521Key = sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edKey   = sync.OnceValue(func() crypto.Signer { return must2(ed25519.GenerateKey(rand.Reader)) })
	// shortEC has coordinates that start with a zero byte, which some issuers omit.
	shortEC = sync.OnceValue(func() *ecdsa.PrivateKey {
		for {
			key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
			if x, _ := coordinates(key); x[0] == 0 {
				return key
			}
		}
	})
)

func must2[T, U any](_ T, v U, err error) U { return must(v, err) }

var base64URL = base64.RawURLEncoding.EncodeToString

func coordinates(key *ecdsa.PrivateKey) (x, y []byte) {
	point := must(key.PublicKey.Bytes())
	return point[1:33], point[33:]
}

// jwk returns a public key as JSON members, with changes; a nil value omits the member.
func jwk(key crypto.Signer, changes map[string]any) map[string]any {
	var members map[string]any
	if err := json.Unmarshal(must(json.Marshal(public(kid1, key))), &members); err != nil {
		panic(err)
	}
	maps.Copy(members, changes)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	return members
}

func keySet(keys ...any) string { return string(must(json.Marshal(map[string]any{"keys": keys}))) }

// negativeSerial returns a certificate that Go cannot parse.
func negativeSerial() string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, ecKey().Public(), ecKey()))
	i := bytes.Index(der, []byte{2, 1, 1}) // INTEGER, one byte, 1
	der[i+2] = 0xff
	if _, err := x509.ParseCertificate(der); err == nil {
		panic("Go parses it")
	}
	return base64.StdEncoding.EncodeToString(der)
}

type object = map[string]any

// fault 48: additional members and malformed optional members do not make a key unusable.
func TestKeysWithMalformedMembers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes object
	}{
		{"as it should be", nil},
		{"x5c: a certificate with a negative serial", object{"x5c": []string{negativeSerial()}}},
		{"x5c: an empty text", object{"x5c": []string{""}}},
		{"x5c: an empty list", object{"x5c": []string{}}},
		{"x5c: PEM", object{"x5c": []string{"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"}}},
		{"x5c: a text", object{"x5c": "MA=="}},
		{"x5c: null in a list", object{"x5c": []any{nil}}},
		{"x5c: an object", object{"x5c": object{}}},
		{"x5t: three characters", object{"x5t": "abc"}},
		{"x5t: hex", object{"x5t": strings.Repeat("0a", 20)}},
		{"x5t: a number", object{"x5t": 7}},
		{"x5t#S256: of another length", object{"x5t#S256": "abc"}},
		{"x5u: no URL", object{"x5u": "::"}},
		{"x5u: a list", object{"x5u": []string{}}},
		{"use: signing", object{"use": "signing"}},
		{"use: a number", object{"use": 1}},
		{"use: none", object{"use": nil}},
		{"use: null", object{"use": json.RawMessage("null")}},
		{"key_ops: a text", object{"key_ops": "verify"}},
		{"key_ops: encrypt", object{"key_ops": []string{"encrypt"}}},
		{"alg: in another case", object{"alg": "rs256"}},
		{"alg: unknown", object{"alg": "RSA"}},
		{"alg: a number", object{"alg": 256}},
		{"alg: null", object{"alg": json.RawMessage("null")}},
		{"alg: empty", object{"alg": ""}},
		{"crv: a number", object{"crv": 7}},
		{"crv: of no curve", object{"crv": object{}}},
		{"x and y: numbers", object{"x": 7, "y": 8}},
		{"private members, malformed", object{"d": "?", "p": 1, "q": nil, "oth": "x"}},
		{"k, as of a symmetric key", object{"k": "c2VjcmV0"}},
		{"members of other specifications", object{"iat": "yesterday", "exp": object{}, "nbf": []int{1}, "ext": "true", "revoked": nil}},
		{"members in another case", object{"KTY": "oct", "Kid": "another", "N": "?", "Use": "enc", "ALG": "HS256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			idp := newIssuer("https://id.example")
			idp.document = keySet(jwk(rsaKey(), tt.changes))
			if _, err := idp.verifier(t).Verify(bearer(token(jose.RS256, kid1, rsaKey(), idp.claims(nil)))); err != nil {
				t.Error(err)
			}
		})
	}
	for _, id := range []any{7, []string{kid1}, json.RawMessage("null"), true} {
		for _, named := range []string{"", kid1} {
			idp := newIssuer("https://id.example")
			idp.document = keySet(jwk(rsaKey(), object{"kid": id}), jwk(otherRSA(), object{"kid": "another"}))
			if _, err := idp.verifier(t).Verify(bearer(token(jose.RS256, named, rsaKey(), idp.claims(nil)))); err != nil {
				t.Errorf("kid: %v, a token with %q: %v", id, named, err)
			}
		}
	}
}

// fault 48: the curve follows from the point.
func TestKeysWithoutCurve(t *testing.T) {
	for alg, key := range map[jose.SignatureAlgorithm]crypto.Signer{jose.ES256: ecKey(), jose.ES384: largeECs(), jose.ES512: p521Key(), jose.EdDSA: edKey()} {
		for _, curve := range []any{7, nil, json.RawMessage("null"), ""} {
			idp := newIssuer("https://id.example")
			idp.document = keySet(jwk(key, object{"crv": curve}))
			if _, err := idp.verifier(t).Verify(bearer(token(alg, kid1, key, idp.claims(nil)))); err != nil {
				t.Errorf("%s, crv %v: %v", alg, curve, err)
			}
		}
	}
}

// fault 49: numbers are accepted in every encoding that issuers use.
func TestKeysInOtherEncodings(t *testing.T) {
	n := rsaKey().Public().(*rsa.PublicKey).N.Bytes()
	x, y := coordinates(shortEC())
	for _, tt := range []struct {
		name string
		jwk  object
		alg  jose.SignatureAlgorithm
		key  crypto.Signer
	}{
		{"n padded", jwk(rsaKey(), object{"n": base64.URLEncoding.EncodeToString(n)}), jose.RS256, rsaKey()},
		{"n in plain base64", jwk(rsaKey(), object{"n": base64.RawStdEncoding.EncodeToString(n)}), jose.RS256, rsaKey()},
		{"n in plain base64, padded", jwk(rsaKey(), object{"n": base64.StdEncoding.EncodeToString(n)}), jose.RS256, rsaKey()},
		{"n with the zero of an ASN.1 integer", jwk(rsaKey(), object{"n": base64URL(append([]byte{0}, n...))}), jose.RS256, rsaKey()},
		{"e padded", jwk(rsaKey(), object{"e": base64.URLEncoding.EncodeToString([]byte{0, 1, 0, 1})}), jose.RS256, rsaKey()},
		{"x of 31 bytes", jwk(shortEC(), object{"x": base64URL(x[1:])}), jose.ES256, shortEC()},
		{"x and y of 33 bytes", jwk(shortEC(), object{"x": base64URL(append([]byte{0}, x...)), "y": base64URL(append([]byte{0}, y...))}), jose.ES256, shortEC()},
		{"y padded", jwk(shortEC(), object{"y": base64.URLEncoding.EncodeToString(y)}), jose.ES256, shortEC()},
		{"x of an Ed25519 key padded", jwk(edKey(), object{"x": base64.StdEncoding.EncodeToString(edKey().Public().(ed25519.PublicKey))}), jose.EdDSA, edKey()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			idp := newIssuer("https://id.example")
			idp.document = keySet(tt.jwk)
			if _, err := idp.verifier(t).Verify(bearer(token(tt.alg, kid1, tt.key, idp.claims(nil)))); err != nil {
				t.Error(err)
			}
		})
	}
}

// fault 51: the log says how many keys are unusable and why, once per fetch.
func TestUnusableKeys(t *testing.T) {
	y := must(shortEC().PublicKey.Bytes())[33:]
	for _, tt := range []struct {
		name, why string
		key       any
	}{
		{"for encryption by use", "for encryption", jwk(rsaKey(), object{"use": "enc"})},
		{"for encryption by alg", "for encryption", jwk(rsaKey(), object{"use": nil, "alg": "RSA-OAEP-256"})},
		{"for encryption by an old alg", "for encryption", jwk(rsaKey(), object{"use": nil, "alg": "RSA1_5"})},
		{"for key agreement", "for encryption", jwk(ecKey(), object{"use": nil, "alg": "ECDH-ES+A128KW"})},
		{"symmetric", "symmetric", object{"kty": "oct", "kid": kid1, "k": "c2VjcmV0"}},
		{"a public key for HS256", "for an algorithm that is not accepted", jwk(rsaKey(), object{"alg": "HS256"})},
		{"a public key for none", "for an algorithm that is not accepted", jwk(rsaKey(), object{"alg": "none"})},
		{"RSA for ES256", "for an algorithm that is not accepted", jwk(rsaKey(), object{"alg": "ES256"})},
		{"P-256 for ES384", "for an algorithm that is not accepted", jwk(ecKey(), object{"alg": "ES384"})},
		{"of another curve", "of an unknown type or curve", jwk(ecKey(), object{"crv": "secp256k1"})},
		{"Ed448", "of an unknown type or curve", jwk(edKey(), object{"crv": "Ed448"})},
		{"of another type", "of an unknown type or curve", jwk(rsaKey(), object{"kty": "AKP"})},
		{"without a type", "of an unknown type or curve", jwk(rsaKey(), object{"kty": nil})},
		{"a point on no curve", "malformed", jwk(ecKey(), object{"y": base64URL(y)})},
		{"a point of another curve", "malformed", jwk(ecKey(), object{"crv": "P-384"})},
		{"an x that is too long", "malformed", jwk(ecKey(), object{"x": base64URL(bytes.Repeat([]byte{1}, 33))})},
		{"a y that is too long", "malformed", jwk(ecKey(), object{"y": base64URL(bytes.Repeat([]byte{1}, 33))})},
		{"an x that is too long for any curve", "malformed", jwk(ecKey(), object{"x": base64URL(bytes.Repeat([]byte{1}, 67)), "crv": nil})},
		{"Ed25519 of 31 bytes", "malformed", jwk(edKey(), object{"x": base64URL(make([]byte, 31))})},
		{"n that is not base64", "malformed", jwk(rsaKey(), object{"n": "?"})},
		{"n that ends in no base64", "malformed", jwk(rsaKey(), object{"n": jwk(rsaKey(), nil)["n"].(string) + "?"})},
		{"an even n", "malformed", jwk(rsaKey(), object{"n": base64URL(bytes.Repeat([]byte{0xfe}, 256))})},
		{"without e", "malformed", jwk(rsaKey(), object{"e": nil})},
		{"e is 1", "malformed", jwk(rsaKey(), object{"e": "AQ"})},
		{"e is even", "malformed", jwk(rsaKey(), object{"e": "Ag"})},
		{"e is over 65537", "RSA, with an exponent over 65537", jwk(rsaKey(), object{"e": base64URL([]byte{1, 0, 3})})},
		{"e is beyond 31 bits", "RSA, with an exponent over 65537", jwk(rsaKey(), object{"e": base64URL([]byte{1, 0, 0, 0, 1})})},
		{"1024 bits", "RSA, and not of 2048 to 8192 bits", jwk(rsaKey(), object{"n": base64URL(bytes.Repeat([]byte{0xff}, 128))})},
		{"16384 bits", "RSA, and not of 2048 to 8192 bits", jwk(rsaKey(), object{"n": base64URL(bytes.Repeat([]byte{0xff}, 2048))})},
		{"a number", "malformed", 42},
		{"null", "of an unknown type or curve", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			idp := newIssuer("https://id.example")
			idp.document = keySet(tt.key, jwk(edKey(), object{"kid": "good"}), tt.key)
			issuers := auth.Issuers{Transport: idp, Log: slog.New(slog.NewTextHandler(&log, nil))}
			v := must(issuers.OIDC(auth.OIDCConfig{Issuer: idp.url, Audiences: []string{audience}}))
			for range 2 {
				if _, err := v.Verify(bearer(token(jose.EdDSA, "good", edKey(), idp.claims(nil)))); err != nil {
					t.Errorf("another key next to it: %v", err)
				}
			}
			if want := `usable=1 unusable="2 ` + tt.why + "\"\n"; strings.Count(log.String(), want) != 1 || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("the log says %s, want %s once", &log, want)
			}

			log.Reset()
			idp = newIssuer("https://id.example")
			idp.document = keySet(tt.key)
			issuers = auth.Issuers{Transport: idp, Log: slog.New(slog.NewTextHandler(&log, nil))}
			v = must(issuers.OIDC(auth.OIDCConfig{Issuer: idp.url, Audiences: []string{audience}}))
			h, _ := whole(v)
			if got := requesttest.Code(t, requesttest.Serve(h, bearer(token(jose.RS256, kid1, rsaKey(), idp.claims(nil))))); got != "auth_unavailable" {
				t.Errorf("no other key: code %q", got)
			}
			if want := "no key of the key set can be used: 1 " + tt.why; strings.Count(log.String(), want) != 1 {
				t.Errorf("the log says %s, want %s once", &log, want)
			}
		})
	}
	// Reasons are counted; keys at the limits are usable.
	large := jwk(rsaKey(), object{"n": base64URL(bytes.Repeat([]byte{0xff}, 1024))})
	for document, want := range map[string]string{
		keySet(42, jwk(rsaKey(), nil), jwk(ecKey(), object{"use": "enc"}), 42): `usable=1 unusable="1 for encryption, 2 malformed"`,
		keySet(jwk(rsaKey(), object{"e": "Aw"}), large, 42):                    `usable=2 unusable="1 malformed"`, // 3
		keySet(append(make([]any, 999), jwk(rsaKey(), nil))...):                `usable=1 unusable="999 of an unknown type or curve"`,
	} {
		var log bytes.Buffer
		idp := newIssuer("https://id.example")
		idp.document = document
		issuers := auth.Issuers{Transport: idp, Log: slog.New(slog.NewTextHandler(&log, nil))}
		v := must(issuers.OIDC(auth.OIDCConfig{Issuer: idp.url, Audiences: []string{audience}}))
		_, _ = v.Verify(bearer(token(jose.RS256, kid1, rsaKey(), idp.claims(nil))))
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log says %s, want %s", &log, want)
		}
	}
	for document, want := range map[string]string{
		`{"kid-1":"-----BEGIN CERTIFICATE-----"}`: "not a key set", // https://www.googleapis.com/oauth2/v1/certs
		`{"keys":{}}`:                "not a key set",
		`{"keys":null}`:              "not a key set",
		`{"KEYS":[]}`:                "not a key set",
		`[]`:                         "not a key set",
		`<html>`:                     "not a key set",
		`{"keys":[]}`:                "empty",
		keySet(make([]any, 1001)...): "1001 keys",
		`{"keys":[],"x":"` + strings.Repeat("a", 1<<20) + `"}`: "larger than",
	} {
		var log bytes.Buffer
		idp := newIssuer("https://id.example")
		idp.document = document
		issuers := auth.Issuers{Transport: idp, Log: slog.New(slog.NewTextHandler(&log, nil))}
		v := must(issuers.OIDC(auth.OIDCConfig{Issuer: idp.url, Audiences: []string{audience}}))
		_, _ = v.Verify(bearer(token(jose.RS256, kid1, rsaKey(), idp.claims(nil))))
		if !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "keys: id.example") {
			t.Errorf("%.40s: the log says %s, want %q", document, &log, want)
		}
	}
}

// fault 50: every key of a large set is usable, and a token without a key ID costs little.
func TestManyKeys(t *testing.T) {
	idp := newIssuer("https://id.example")
	var keys []crypto.Signer
	for i := range 100 {
		keys = append(keys, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
		idp.keys = append(idp.keys, public(fmt.Sprint(i), keys[i]))
	}
	v := idp.verifier(t)
	for i, key := range keys {
		if _, err := v.Verify(bearer(token(jose.ES256, fmt.Sprint(i), key, idp.claims(nil)))); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
	unnamed := func(i int) error {
		_, err := v.Verify(bearer(token(jose.ES256, "", keys[i], idp.claims(nil))))
		return err
	}
	if err := unnamed(15); err != nil {
		t.Errorf("no key id, the 16th key: %v", err)
	}
	if unnamed(16) == nil {
		t.Error("no key id: the 17th key is tried")
	}

	// Keys that cannot have made the signature are not tried.
	mixed := newIssuer("https://id.example")
	for i := range 20 {
		mixed.keys = append(mixed.keys, public(fmt.Sprint(i), rsaKey()))
	}
	mixed.keys = append(mixed.keys, public("ec", ecKey()))
	if _, err := mixed.verifier(t).Verify(bearer(token(jose.ES256, "", ecKey(), mixed.claims(nil)))); err != nil {
		t.Errorf("keys of another type before it: %v", err)
	}

	// A token with an unknown key ID may belong to a key without one.
	some := newIssuer("https://id.example", public("", ecKey()), public("named", otherECs()))
	v = some.verifier(t)
	if _, err := v.Verify(bearer(token(jose.ES256, "unknown", ecKey(), some.claims(nil)))); err != nil {
		t.Errorf("a key without an id: %v", err)
	}
	if _, err := v.Verify(bearer(token(jose.ES256, "unknown", otherECs(), some.claims(nil)))); err == nil {
		t.Error("a key with another id is tried")
	}

	// Two keys may share an ID.
	twins := newIssuer("https://id.example", public(kid1, rsaKey()), public(kid1, ecKey()), public(kid1, otherECs()))
	v = twins.verifier(t)
	for _, key := range []crypto.Signer{ecKey(), otherECs()} {
		if _, err := v.Verify(bearer(token(jose.ES256, kid1, key, twins.claims(nil)))); err != nil {
			t.Errorf("an id of several keys: %v", err)
		}
	}
}

// fault 50: a key whose signatures are expensive to check counts as several tries.
func TestTriesOfExpensiveKeys(t *testing.T) {
	generate := func(curve elliptic.Curve) func() crypto.Signer {
		return func() crypto.Signer { return must(ecdsa.GenerateKey(curve, rand.Reader)) }
	}
	for _, tt := range []struct {
		name  string
		alg   jose.SignatureAlgorithm
		key   func() crypto.Signer
		tries int
	}{
		{"P-256", jose.ES256, generate(elliptic.P256()), 16},
		{"P-384", jose.ES384, generate(elliptic.P384()), 4},
		{"P-521", jose.ES512, generate(elliptic.P521()), 2},
	} {
		last := tt.key()
		for n, want := range map[int]bool{tt.tries: true, tt.tries + 1: false} {
			idp := newIssuer("https://id.example")
			for range n - 1 {
				idp.keys = append(idp.keys, public("", tt.key()))
			}
			idp.keys = append(idp.keys, public("", last))
			if _, err := idp.verifier(t).Verify(bearer(token(tt.alg, "", last, idp.claims(nil)))); (err == nil) != want {
				t.Errorf("%s, key %d: %v", tt.name, n, err)
			}
		}
	}
	// Generating large RSA keys takes too long, so these moduli have no private key.
	large := jwk(rsaKey(), object{"kid": nil, "n": base64URL(bytes.Repeat([]byte{0xff}, 1024))})
	for n, want := range map[int]bool{3: true, 4: false} {
		idp := newIssuer("https://id.example")
		idp.document = keySet(append(slices.Repeat([]any{large}, n), jwk(rsaKey(), nil))...)
		if _, err := idp.verifier(t).Verify(bearer(token(jose.RS256, "", rsaKey(), idp.claims(nil)))); (err == nil) != want {
			t.Errorf("RSA with 2048 bits after %d keys with 8192: %v", n, err)
		}
	}
}

// fault 54: every asymmetric algorithm is accepted with a matching key.
func TestAlgorithms(t *testing.T) {
	isRSA := func(alg jose.SignatureAlgorithm) bool { return alg[1] == 'S' && alg[0] != 'E' }
	signers := map[jose.SignatureAlgorithm]crypto.Signer{
		jose.RS256: rsaKey(), jose.RS384: rsaKey(), jose.RS512: rsaKey(), jose.PS256: rsaKey(), jose.PS384: rsaKey(), jose.PS512: rsaKey(),
		jose.ES256: ecKey(), jose.ES384: largeECs(), jose.ES512: p521Key(), jose.EdDSA: edKey(),
	}
	for alg, signer := range signers {
		for published := range signers {
			for _, named := range []any{nil, string(alg), string(published)} {
				idp := newIssuer("https://id.example")
				key := jwk(signers[published], object{"alg": named})
				idp.document = keySet(key)
				_, err := idp.verifier(t).Verify(bearer(token(alg, kid1, signer, idp.claims(nil))))
				agree := alg == published || isRSA(alg) && isRSA(published)
				want := agree && (named == nil || named == string(alg))
				if (err == nil) != want {
					t.Errorf("%s with the key of %s, alg %v: %v", alg, published, named, err)
				}
			}
		}
	}
	idp := newIssuer("https://id.example")
	idp.document = keySet(jwk(edKey(), object{"alg": "Ed25519"}))
	if _, err := idp.verifier(t).Verify(bearer(token(jose.EdDSA, kid1, edKey(), idp.claims(nil)))); err != nil {
		t.Errorf("a key for Ed25519, as RFC 9864 has it: %v", err)
	}
}
