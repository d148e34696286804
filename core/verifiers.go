package core

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/secret"
)

// methods are the ways in which a tenant's callers may be verified.
func (b *builder) methods(s scope, t Tenant) []auth.Method {
	setting := s.name("ORGA_AUTH", "auth")
	if len(t.Auth) == 0 {
		b.fault(setting, errors.New("is not set, and without it nobody may mint; set oidc, hmac, gateway or anonymous"))
	}
	if len(t.Auth) > 1 && slices.Contains(t.Auth, "anonymous") {
		b.fault(setting, errors.New("anonymous lets everybody in; beside it, no other method has a meaning"))
	}
	var list []auth.Method
	for _, name := range t.Auth {
		var m auth.Method
		switch name {
		case "anonymous":
			m = auth.Anonymous()
		case "gateway":
			m = auth.Gateway()
		case "hmac":
			m = b.hmac(setting)
		case "oidc":
			m = b.issuer(s, t)
		default:
			m = auth.Method{Name: name, Verifier: b.drivers.Verifiers[name]}
			if m.Verifier == nil {
				b.fault(setting, errors.New("knows oidc, hmac, gateway and anonymous, and what the program brings along"))
			}
		}
		if m.Verifier != nil {
			list = append(list, m)
		}
	}
	return list
}

func (b *builder) hmac(setting string) auth.Method {
	if b.cfg.HMACKeySource == "" {
		b.fault(setting, errors.New("hmac needs ORGA_AUTH_HMAC_KEY_SOURCE"))
		return auth.Method{}
	}
	if b.hmacKey == nil {
		src := b.open("ORGA_AUTH_HMAC_KEY_SOURCE", b.cfg.HMACKeySource, decodeHMACKeys)
		if src == nil {
			return auth.Method{}
		}
		b.hmacKey = secret.NewCache(src, secret.CacheOptions{Name: b.cfg.HMACKeySource, TTL: b.cfg.APIKeyTTL, Log: b.log})
	}
	keys := b.hmacKey
	return auth.HMAC(auth.HMACConfig{Keys: func(ctx context.Context) (string, error) {
		s, err := keys.Get(ctx)
		if out, ok := errors.AsType[*secret.FetchError](err); ok {
			return "", session.SecretProblem(out)
		}
		return s.Value.Reveal(), err
	}})
}

// decodeHMACKeys is the [secret.Decoder] of keys that callers sign with.
func decodeHMACKeys(text string) (string, error) {
	text, err := secret.DecodeText(text)
	if err != nil {
		return "", err
	}
	if err := auth.CheckHMACKeys(text); err != nil {
		return "", fmt.Errorf("%w: it %w", secret.ErrMalformed, err)
	}
	return text, nil
}

// issuer verifies the tokens of a tenant's issuer. One that only a tenant names is held to public addresses.
func (b *builder) issuer(s scope, t Tenant) auth.Method {
	issuers := &b.issuers
	if t.AuthIssuer != b.cfg.AuthIssuer || t.AuthJWKSURL != b.cfg.AuthJWKSURL {
		issuers = &b.tenantIssuers
	}
	cfg := auth.OIDCConfig{Issuer: t.AuthIssuer, JWKSURL: t.AuthJWKSURL, Audiences: splitList(t.AuthAudience)}
	if b.cfg.TenantClaim != "" {
		cfg.Claims = []string{b.cfg.TenantClaim}
	}
	m, err := issuers.OIDC(cfg)
	if err != nil {
		b.fault(s.name("ORGA_AUTH_ISSUER, ORGA_AUTH_AUDIENCE, ORGA_AUTH_JWKS_URL", "authIssuer, authAudience, authJWKSURL"), err)
	}
	return m
}
