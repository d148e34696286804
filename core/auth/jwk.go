package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys   = 1000 // of a key set
	minRSABit = 2048 // RFC 7518, section 3.3

	// Larger ones would make each check of a signature expensive. Issuers use 2048 to 4096 bits, and an exponent of 65537 or 3.
	maxRSABit      = 8192
	maxRSAExponent = 1<<16 + 1
)

// algorithms are the accepted ones: JWS's asymmetric algorithms. A symmetric key would have to be secret, and an issuer's
// keys are public.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// publicKey is an issuer's key for verifying signatures.
type publicKey struct {
	id  string                  // "" if it has none
	alg jose.SignatureAlgorithm // the only algorithm for this key; "" for any that fits
	key any                     // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// fits reports whether the key can have made a signature of alg.
func (k *publicKey) fits(alg jose.SignatureAlgorithm) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(string(alg), "RS") || strings.HasPrefix(string(alg), "PS")
	case *ecdsa.PublicKey:
		return alg == curves[key.Params().Name].alg
	}
	return alg == jose.EdDSA
}

// tries returns how many of maxTries a signature check with the key counts as. One try takes at most about 0.5 ms.
func (k *publicKey) tries() int {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() > 4096 {
			return 4
		}
	case *ecdsa.PublicKey:
		return curves[key.Params().Name].tries
	}
	return 1
}

var curves = map[string]struct {
	curve elliptic.Curve
	alg   jose.SignatureAlgorithm
	tries int
}{
	"P-256": {elliptic.P256(), jose.ES256, 1},
	"P-384": {elliptic.P384(), jose.ES384, 4},
	"P-521": {elliptic.P521(), jose.ES512, 8},
}

var (
	errNoKeySet     = errors.New("the document is not a key set (JWKS): it has no list named keys")
	errEmptyKeySet  = errors.New("the key set is empty")
	errKeyForm      = errors.New("malformed")
	errKeyPrivate   = errors.New("symmetric")
	errKeyEncrypts  = errors.New("for encryption")
	errKeyAlgorithm = errors.New("for an algorithm that is not accepted")
	errKeyType      = errors.New("of an unknown type or curve")
	errKeySize      = fmt.Errorf("RSA, and not of %d to %d bits", minRSABit, maxRSABit)
	errKeyExponent  = fmt.Errorf("RSA, with an exponent over %d", maxRSAExponent)
)

// parseKeySet parses a JWK set (RFC 7517). An unusable key does not affect others: unusable says how many there are and
// why, "" for none. The error is about the whole set.
func parseKeySet(document []byte) (list []publicKey, unusable string, err error) {
	var set map[string]json.RawMessage // a struct would match names case-insensitively
	var raw []json.RawMessage
	if json.Unmarshal(document, &set) != nil || json.Unmarshal(set["keys"], &raw) != nil || raw == nil {
		return nil, "", errNoKeySet
	}
	if len(raw) == 0 {
		return nil, "", errEmptyKeySet
	}
	if len(raw) > maxKeys {
		return nil, "", fmt.Errorf("the key set has %d keys, more than %d", len(raw), maxKeys)
	}
	why := make(map[error]int)
	for _, r := range raw {
		key, err := parseKey(r)
		if err != nil {
			why[err]++
			continue
		}
		list = append(list, key)
	}
	reasons := slices.SortedFunc(maps.Keys(why), func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	counts := make([]string, len(reasons))
	for i, reason := range reasons {
		counts[i] = fmt.Sprintf("%d %v", why[reason], reason)
	}
	unusable = strings.Join(counts, ", ")
	if len(list) == 0 {
		return nil, "", fmt.Errorf("no key of the key set can be used: %s", unusable)
	}
	return list, unusable, nil
}

// parseKey parses a JWK. It reads only kty, kid, use, alg, n, e, crv, x and y, because other members, above all
// certificates, are often malformed. A malformed optional member counts as absent. The error is one of errKey….
func parseKey(raw json.RawMessage) (publicKey, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return publicKey{}, errKeyForm
	}
	text := func(name string) string {
		var s string
		_ = json.Unmarshal(members[name], &s) // a value of another type counts as absent
		return s
	}
	k := publicKey{id: text("kid")}
	alg := jose.SignatureAlgorithm(text("alg"))
	switch {
	case text("kty") == "oct":
		return publicKey{}, errKeyPrivate
	case text("use") == "enc" || isEncryption(string(alg)):
		return publicKey{}, errKeyEncrypts
	case slices.Contains(algorithms, alg):
		k.alg = alg
	case alg == jose.HS256 || alg == jose.HS384 || alg == jose.HS512 || alg == "none":
		return publicKey{}, errKeyAlgorithm
	}
	var err error
	switch text("kty") {
	case "RSA":
		k.key, err = rsaKey(text("n"), text("e"))
	case "EC":
		k.key, err = ecKey(text("crv"), text("x"), text("y"))
	case "OKP":
		k.key, err = edKey(text("crv"), text("x"))
	default:
		err = errKeyType
	}
	switch {
	case err != nil:
		return publicKey{}, err
	case k.alg != "" && !k.fits(k.alg):
		return publicKey{}, errKeyAlgorithm
	}
	return k, nil
}

// isEncryption reports whether alg is a JWE algorithm (RFC 7518, section 4.1).
func isEncryption(alg string) bool {
	return strings.HasPrefix(alg, "RSA-OAEP") || strings.HasPrefix(alg, "RSA1_5") || strings.HasPrefix(alg, "ECDH-ES")
}

func rsaKey(n, e string) (any, error) {
	modulus, exponent := number(n), number(e)
	switch {
	case modulus.Bit(0) == 0 || exponent.Bit(0) == 0 || exponent.Cmp(big.NewInt(1)) <= 0:
		return nil, errKeyForm
	case modulus.BitLen() < minRSABit || modulus.BitLen() > maxRSABit:
		return nil, errKeySize
	case exponent.Cmp(big.NewInt(maxRSAExponent)) > 0:
		return nil, errKeyExponent
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

// ecKey returns the key of a point. Since a point lies on only one curve, it determines the curve if crv is missing.
func ecKey(crv, x, y string) (any, error) {
	for name, c := range curves {
		if crv != name && crv != "" {
			continue
		}
		size := (c.curve.Params().BitSize + 7) / 8
		px, py := number(x), number(y)
		if max(px.BitLen(), py.BitLen()) > 8*size {
			continue
		}
		point := make([]byte, 1+2*size)
		point[0] = 4 // uncompressed (SEC 1, section 2.3.3)
		px.FillBytes(point[1 : 1+size])
		py.FillBytes(point[1+size:])
		if key, err := ecdsa.ParseUncompressedPublicKey(c.curve, point); err == nil {
			return key, nil
		}
	}
	if _, known := curves[crv]; crv != "" && !known {
		return nil, errKeyType
	}
	return nil, errKeyForm
}

func edKey(crv, x string) (any, error) {
	key := decodeBase64(x)
	switch {
	case crv != "Ed25519" && crv != "":
		return nil, errKeyType
	case len(key) != ed25519.PublicKeySize:
		return nil, errKeyForm
	}
	return ed25519.PublicKey(key), nil
}

// number returns the unsigned number encoded in s, ignoring leading zeros; 0 if s is malformed.
func number(s string) *big.Int { return new(big.Int).SetBytes(decodeBase64(s)) }

// decodeBase64 decodes unpadded base64url, as required, but also padded or standard base64, which some issuers use. It
// returns nil for anything else.
func decodeBase64(s string) []byte {
	plain := bytes.Map(func(r rune) rune {
		switch r {
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return r
	}, []byte(strings.TrimRight(s, "=")))
	decoded, err := base64.RawStdEncoding.DecodeString(string(plain))
	if err != nil {
		return nil
	}
	return decoded
}
