package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/orga-session/orga-session/core/platform"
)

const (
	// maxToken bounds a token, in bytes; real ones have one or two thousand.
	maxToken = 8 << 10
	// leeway is how far an issuer's clock may be from ours.
	leeway = time.Minute
	// maxDate bounds the times of a token: the last second of the year 9999. What is far beyond it overflows
	// on its way to a time.Time, and may come out long ago.
	maxDate = 253_402_300_799
	// maxVerified bounds the tokens that are remembered: no more than a few megabytes.
	maxVerified = 512
)

var (
	errTokenForm     = errors.New("oidc: not a JWT that is signed with RS256 or ES256")
	errTokenKey      = errors.New("oidc: no key of the issuer made this signature")
	errTokenClaims   = errors.New("oidc: the claims are not an object with claims of the right kinds in it")
	errTokenIssuer   = errors.New("oidc: the token's iss is not the issuer of the settings, byte for byte")
	errTokenAudience = errors.New("oidc: the token is for another audience")
	errTokenExpired  = errors.New("oidc: the token has expired, or does not say when it does")
	errTokenEarly    = errors.New("oidc: the token is not valid yet")
)

// OIDCConfig describes an OpenID Connect issuer, and which of its tokens are for us.
type OIDCConfig struct {
	Issuer   string // its URL, byte for byte as its tokens have it in iss: Auth0's ends in a slash
	Audience string // what its tokens have in aud (see NewOIDC for tokens that have none)
	JWKSURL  string // where its keys are; "" has that discovered from the issuer

	HTTP *http.Client // fetches the keys; nil is a plain one. Redirects are not followed
	Log  *slog.Logger // hears when keys cannot be fetched; nil for nobody
}

// NewOIDC accepts callers with a JWT of an issuer, sent as Authorization: Bearer. RS256 and ES256 are
// accepted. The token must have exp, be in time by exp and nbf with a leeway of a minute, and name the
// audience in aud. One without any aud must name it in client_id, as Cognito's access tokens do, or in
// azp, as Clerk's session tokens do.
//
// Nothing is fetched before the first token comes. The keys are kept from then on, and fetched anew when
// a token has a key id that is unknown or a signature that does not hold: at most once in 30 s. When they
// are ten minutes old, the next token has them fetched anew as well, from where the issuer says they are
// by then, and does not wait for that. A token that keeps coming is verified once, and again when the keys
// were fetched anew; its times are checked each time. While the issuer is out, tokens signed with the keys
// at hand are accepted; with none at hand the refusal is AuthUnavailable.
//
// The error joins what is wrong with the config, without its values. For several audiences of one issuer,
// see Issuers.
func NewOIDC(cfg OIDCConfig) (Verifier, error) { return new(Issuers).NewOIDC(cfg) }

func (cfg OIDCConfig) check() error {
	var faults []error
	if err := checkURL(cfg.Issuer); err != nil {
		faults = append(faults, fmt.Errorf("the issuer %w", err))
	}
	if cfg.JWKSURL != "" {
		if err := checkURL(cfg.JWKSURL); err != nil {
			faults = append(faults, fmt.Errorf("the JWKS URL %w", err))
		}
	}
	if cfg.Audience == "" {
		faults = append(faults, errors.New("the audience is missing: without it, tokens that the issuer made for others would be accepted"))
	}
	return errors.Join(faults...)
}

func newOIDC(cfg OIDCConfig, keys *keySet) *oidcVerifier {
	return &oidcVerifier{
		cfg:  cfg,
		keys: keys,
		jwt: oidc.NewVerifier(cfg.Issuer, keys, &oidc.Config{
			SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256},
			// What a token claims is checked here. go-oidc takes ISS for iss and EXP for exp, knows no
			// audience but aud, and has leeways of 0 and 5 minutes.
			SkipIssuerCheck:   true,
			SkipClientIDCheck: true,
			SkipExpiryCheck:   true,
		}),
		verified: make(map[[sha256.Size]byte]*verifiedToken),
	}
}

type oidcVerifier struct {
	cfg  OIDCConfig
	keys *keySet
	jwt  *oidc.IDTokenVerifier

	mu       sync.Mutex
	verified map[[sha256.Size]byte]*verifiedToken // by hash of the token
}

// verifiedToken is a token whose signature, issuer and audience hold.
type verifiedToken struct {
	keys      *keys // those that it was verified with
	principal Principal
	notBefore time.Time // the zero time when the token says nothing
	expiry    time.Time
}

// Verify implements Verifier.
func (v *oidcVerifier) Verify(r *http.Request) (Principal, error) {
	token, ok := credential(r.Header, "Bearer")
	if !ok {
		return Principal{}, ErrNoCredential
	}
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return Principal{}, errTokenForm
	}
	// The same token with the same keys has the same outcome, so it is worked out once: most of what a
	// request costs us is a signature.
	hash := sha256.Sum256([]byte(token))
	v.mu.Lock()
	t := v.verified[hash]
	v.mu.Unlock()
	if t == nil || t.keys != v.keys.atHand(r.Context()) {
		var err error
		if t, err = v.verify(r.Context(), token); err != nil {
			return Principal{}, err
		}
		v.remember(hash, t)
	}
	switch now := time.Now(); {
	case now.After(t.expiry.Add(leeway)):
		return Principal{}, errTokenExpired
	case now.Add(leeway).Before(t.notBefore):
		return Principal{}, errTokenEarly
	}
	return t.principal, nil
}

func (v *oidcVerifier) verify(ctx context.Context, token string) (*verifiedToken, error) {
	var sig signature
	id, err := v.jwt.Verify(context.WithValue(ctx, signatureKey{}, &sig), token)
	switch {
	case sig.err != nil: // go-oidc keeps only the text of it
		return nil, sig.err
	case err != nil && sig.keys == nil: // its text repeats what anybody may have written
		return nil, errTokenForm
	case err != nil:
		return nil, errTokenClaims
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return nil, errTokenClaims
	}
	t, err := v.read(claims)
	if err != nil {
		return nil, err
	}
	t.keys = sig.keys
	return t, nil
}

// read checks the claims of a token whose signature holds. Their names are taken as they are written: iss
// is iss, and ISS is something else.
func (v *oidcVerifier) read(claims map[string]any) (*verifiedToken, error) {
	if claims["iss"] != v.cfg.Issuer {
		return nil, errTokenIssuer
	}
	if !v.isForUs(claims) {
		return nil, errTokenAudience
	}
	subject, ok := claims["sub"].(string)
	if !ok && claims["sub"] != nil {
		return nil, errTokenClaims
	}
	expiry, ok := numericDate(claims["exp"])
	if !ok {
		return nil, errTokenExpired
	}
	notBefore, ok := numericDate(claims["nbf"])
	if !ok && claims["nbf"] != nil {
		return nil, errTokenEarly
	}
	return &verifiedToken{
		principal: Principal{Subject: subject, Issuer: v.cfg.Issuer, Claims: claims},
		notBefore: notBefore,
		expiry:    expiry,
	}, nil
}

// isForUs tells whether the token is for our audience. A client_id or azp counts only where there is no
// aud: beside one they name who asked for the token, not whom it is for.
func (v *oidcVerifier) isForUs(claims map[string]any) bool {
	switch aud := claims["aud"].(type) {
	case nil:
		return claims["client_id"] == v.cfg.Audience || claims["azp"] == v.cfg.Audience
	case string:
		return aud == v.cfg.Audience
	case []any:
		return !slices.ContainsFunc(aud, isNoString) && slices.Contains(aud, any(v.cfg.Audience))
	}
	return false
}

func isNoString(v any) bool {
	_, ok := v.(string)
	return !ok
}

// numericDate reads a time of a token, in seconds since 1970 (RFC 7519, section 2). It is false for what
// is no number, or none that a token has.
func numericDate(claim any) (time.Time, bool) {
	seconds, ok := claim.(float64)
	if !ok || seconds < 0 || seconds > maxDate {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

func (v *oidcVerifier) remember(hash [sha256.Size]byte, t *verifiedToken) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.verified) >= maxVerified {
		for other := range v.verified { // whichever comes first; it is verified anew when it comes again
			delete(v.verified, other)
			break
		}
	}
	v.verified[hash] = t
}

// checkURL tells what keeps s from being an address that keys can be trusted from: https, or http on
// this machine.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return errors.New("is missing")
	case err != nil || u.Host == "":
		return errors.New("is not a URL with a host")
	case u.User != nil || u.Fragment != "":
		return errors.New("has a user or a fragment in its URL")
	case u.Scheme == "https" || u.Scheme == "http" && platform.IsLoopback(u.Hostname()):
		return nil
	}
	return errors.New("is not an https URL; http is for loopback hosts only")
}
