package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/secret"
)

// methods returns the authentication methods of a tenant, and the HMAC key if one is used.
func (b *builder) methods(s scope, t Tenant) (list []access.Method, hmacKey *secretcache.Cache) {
	setting := s.name("ORGA_AUTH")
	if len(t.Auth) == 0 {
		b.addFault(setting, errors.New("is not set: every mint is refused; want oidc, hmac, gateway or anonymous"))
	}
	if len(t.Auth) > 1 && slices.Contains(t.Auth, "anonymous") {
		b.addFault(setting, errors.New("anonymous accepts everybody; remove it or the other methods"))
	}
	for _, name := range t.Auth {
		var m access.Method
		switch name {
		case "anonymous":
			m = access.Anonymous()
			if s == "" && t.AuthIssuer != "" || t.ownCredential {
				b.log.Warn("anonymous lets everybody in although an issuer, an audience or an HMAC key is set", "setting", setting)
			}
		case "gateway":
			m = access.Gateway()
		case "hmac":
			m, hmacKey = b.hmac(s, t)
		case "oidc":
			m = b.issuer(s, t)
		default:
			if m = (access.Method{Name: name, Verifier: b.drivers.Verifiers[name]}); m.Verifier == nil {
				known := slices.Sorted(maps.Keys(b.drivers.Verifiers))
				b.addFault(setting, unknownWord("method", name, append([]string{"oidc", "hmac", "gateway", "anonymous"}, known...)))
			}
		}
		if m.Verifier != nil {
			list = append(list, m)
		}
	}
	return list, hmacKey
}

func (b *builder) hmac(s scope, t Tenant) (access.Method, *secretcache.Cache) {
	setting := s.name("ORGA_AUTH_HMAC_KEY_SOURCE")
	if t.HMACKeySource == "" {
		b.addFault(setting, errors.New("is not set; hmac requires it"))
		return access.Method{}, nil
	}
	keys, ok := b.hmacKeys[t.HMACKeySource]
	if !ok {
		src := b.open(setting, t.HMACKeySource, checkHMACKeys)
		if src == nil {
			return access.Method{}, nil
		}
		keys = secretcache.New(src, secretcache.Options{Name: t.HMACKeySource, TTL: b.cfg.APIKeyTTL, Log: b.log, WaitWhenOld: true})
		b.hmacKeys[t.HMACKeySource] = keys
	}
	return access.HMAC(func(ctx context.Context) (string, *problem.Problem) {
		key, err := keys.Get(ctx)
		if err != nil {
			return "", session.SecretProblem(err)
		}
		return key.Value.Reveal(), nil
	}), keys
}

// checkHMACKeys checks HMAC keys, for [secret.Open].
func checkHMACKeys(text string) error {
	if err := access.CheckHMACKeys(text); err != nil {
		return fmt.Errorf("%w: it %w", secret.ErrMalformed, err)
	}
	return nil
}

// issuer returns the verifier for a tenant's issuer. An issuer named only by a tenant is restricted to public addresses.
func (b *builder) issuer(s scope, t Tenant) access.Method {
	issuers := &b.issuers
	if t.ownIssuer {
		issuers = &b.tenantIssuers
	}
	cfg := auth.OIDCConfig{Issuer: t.AuthIssuer, JWKSURL: t.AuthJWKSURL, Audiences: t.AuthAudience}
	if b.claim != nil {
		cfg.Claims = []string{b.claim.Name}
	}
	m, err := access.OIDC(issuers, cfg)
	if err != nil {
		b.addFault(strings.Join([]string{s.name("ORGA_AUTH_ISSUER"), s.name("ORGA_AUTH_AUDIENCE"), s.name("ORGA_AUTH_JWKS_URL")}, ", "), err)
	}
	return m
}
