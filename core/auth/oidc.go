package auth

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/orga-session/orga-session/core/internal/authheader"
)

// leeway is the tolerated difference between an issuer's clock and ours.
const leeway = time.Minute

type oidcVerifier struct {
	cfg      OIDCConfig
	keys     *keySet
	verified *memory
}

// Verify implements [Verifier].
func (v *oidcVerifier) Verify(r *http.Request) (Principal, error) {
	raw, ok := authheader.Credential(r.Header, authheader.Bearer)
	if !ok {
		return Principal{}, ErrNoCredential
	}
	if err := checkForm(raw); err != nil {
		return Principal{}, err
	}
	id, signature := v.split(raw)
	t := v.verified.get(id, signature)
	remembered := t != nil && t.keys == v.keys.cached(r.Context()).number // there are keys, because t was verified
	if !remembered {
		var err error
		if t, err = v.verify(r.Context(), raw); err != nil {
			return Principal{}, err
		}
		t.signature = signature
	}
	switch now := time.Now(); {
	case now.After(t.expiry.Add(leeway)):
		v.verified.drop(id)
		return Principal{}, errTokenExpired
	case now.Add(leeway).Before(t.notBefore):
		return Principal{}, errTokenEarly
	}
	if !remembered {
		v.verified.add(id, t)
	}
	return t.principal, nil
}

// verify checks everything about a token except its times.
func (v *oidcVerifier) verify(ctx context.Context, raw string) (*verifiedToken, error) {
	t, err := parseToken(raw)
	if err != nil {
		return nil, err
	}
	iss, _ := t.text("iss")
	keys, err := v.keys.verify(ctx, t, v.isIssuer(iss))
	if err != nil {
		return nil, err
	}
	// The claims from here on are the issuer's, so they may be logged.
	if !v.isIssuer(iss) {
		return nil, fmt.Errorf("%w: it is %.200q", errTokenIssuer, iss)
	}
	if err := v.checkAudience(t); err != nil {
		return nil, err
	}
	subject, err := t.subject()
	if err != nil {
		return nil, err
	}
	expiry, _, ok := t.date("exp")
	if !ok {
		return nil, errTokenExpired
	}
	notBefore, present, ok := t.date("nbf")
	if present && !ok {
		return nil, errTokenEarly
	}
	return &verifiedToken{
		keys:      keys.number,
		principal: Principal{Subject: subject, Issuer: v.cfg.Issuer, Claims: t.keep(v.cfg.Claims)},
		notBefore: notBefore,
		expiry:    expiry,
	}, nil
}

// isIssuer reports whether iss is the issuer. Google's tokens may omit the scheme.
func (v *oidcVerifier) isIssuer(iss string) bool {
	return iss == v.cfg.Issuer || v.cfg.Issuer == "https://accounts.google.com" && iss == "accounts.google.com"
}

// checkAudience reports whether the token is for one of our audiences. client_id and azp count only without an aud: next to
// an aud, they name the token's requester, not its audience.
func (v *oidcVerifier) checkAudience(t *token) error {
	audiences, ok := t.audiences()
	if !ok {
		for _, name := range []string{"client_id", "azp"} {
			if client, ok := t.text(name); ok {
				audiences = append(audiences, client)
			}
		}
	}
	if !slices.ContainsFunc(audiences, func(s string) bool { return slices.Contains(v.cfg.Audiences, s) }) {
		return fmt.Errorf("%w: %.200q", errTokenAudience, audiences)
	}
	return nil
}
