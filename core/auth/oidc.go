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
	known := v.keys.cached(r.Context()) // may wait, so before the token is parsed and takes memory
	t := v.verified.get(id, signature)
	if t == nil || t.keys != known.number { // there are keys if t was verified
		var err error
		if t, err = v.verify(r.Context(), raw, known); err != nil {
			return Principal{}, err
		}
		t.signature = signature
		v.verified.add(id, t)
		return t.principal, nil
	}
	if err := t.checkTimes(); err != nil {
		v.verified.drop(id)
		return Principal{}, err
	}
	return t.principal, nil
}

// verify checks a token that is not cached.
func (v *oidcVerifier) verify(ctx context.Context, raw string, known *keys) (*verifiedToken, error) {
	t, err := parseToken(raw)
	if err != nil {
		return nil, err
	}
	checked, claim, refusal := v.check(t)
	keys, err := v.keys.verify(ctx, t, refusal, known)
	switch {
	case err != nil:
		return nil, err
	case refusal != nil && claim != "": // the issuer wrote it, so it may be logged
		return nil, fmt.Errorf("%w: %s", refusal, claim)
	case refusal != nil:
		return nil, refusal
	}
	checked.keys, checked.principal.Claims = keys.number, t.keep(v.cfg.Claims)
	return checked, nil
}

// check checks a token's claims. The error is one of errToken…; claim is the quoted claim that it is about, or "".
func (v *oidcVerifier) check(t *token) (checked *verifiedToken, claim string, err error) {
	if iss, _ := t.text("iss"); !v.isIssuer(iss) {
		return nil, fmt.Sprintf("it is %.200q", iss), errTokenIssuer
	}
	if audiences := audiencesOf(t); !slices.ContainsFunc(audiences, func(s string) bool { return slices.Contains(v.cfg.Audiences, s) }) {
		return nil, fmt.Sprintf("%.200q", audiences), errTokenAudience
	}
	subject, err := t.subject()
	if err != nil {
		return nil, "", err
	}
	expiry, _, ok := t.date("exp")
	if !ok {
		return nil, "", errTokenExpired
	}
	notBefore, present, ok := t.date("nbf")
	if present && !ok {
		return nil, "", errTokenEarly
	}
	checked = &verifiedToken{
		principal: Principal{Subject: subject, Issuer: v.cfg.Issuer},
		notBefore: notBefore,
		expiry:    expiry,
	}
	return checked, "", checked.checkTimes()
}

// checkTimes reports why the token is not valid now.
func (t *verifiedToken) checkTimes() error {
	switch now := time.Now(); {
	case now.After(t.expiry.Add(leeway)):
		return errTokenExpired
	case now.Add(leeway).Before(t.notBefore):
		return errTokenEarly
	}
	return nil
}

// isIssuer reports whether iss is the issuer. Google's tokens may omit the scheme.
func (v *oidcVerifier) isIssuer(iss string) bool {
	return iss == v.cfg.Issuer || v.cfg.Issuer == "https://accounts.google.com" && iss == "accounts.google.com"
}

// audiencesOf returns the audiences of a token. client_id and azp count only without an aud: next to an aud, they name the token's
// requester, not its audience.
func audiencesOf(t *token) []string {
	audiences, ok := t.audiences()
	if !ok {
		for _, name := range []string{"client_id", "azp"} {
			if client, ok := t.text(name); ok {
				audiences = append(audiences, client)
			}
		}
	}
	return audiences
}
