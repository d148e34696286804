package core

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/secret"
)

// verifiers are the ways in which a tenant's callers may show who they are.
func (b *builder) verifiers(s scope, t Tenant) []auth.Verifier {
	setting := s.name("ORGA_AUTH", "auth")
	if len(t.Auth) == 0 {
		b.fault(setting, errors.New("is not set, and without it nobody may mint; set oidc, hmac, gateway or anonymous"))
	}
	if len(t.Auth) > 1 && slices.Contains(t.Auth, "anonymous") {
		b.fault(setting, errors.New("anonymous lets everybody in; beside it, no other method has a meaning"))
	}
	var list []auth.Verifier
	for _, method := range t.Auth {
		var v auth.Verifier
		switch method {
		case "anonymous":
			v = auth.Anonymous()
		case "gateway":
			v = auth.Gateway()
		case "hmac":
			v = b.hmac(setting)
		case "oidc":
			v = b.issuer(s, t)
		default:
			if v = b.drivers.Verifiers[method]; v == nil {
				b.fault(setting, errors.New("knows oidc, hmac, gateway and anonymous, and what the program brings along"))
			}
		}
		if v != nil {
			list = append(list, noted(method, v))
		}
	}
	return list
}

// noted is v, which says in the request's record by which method the caller is known.
func noted(method string, v auth.Verifier) auth.Verifier {
	return auth.VerifierFunc(func(r *http.Request) (auth.Principal, error) {
		p, err := v.Verify(r)
		x, outcome := request.From(r.Context()), "accepted"
		if err == nil {
			x.Auth = method
		} else {
			outcome = err.Error()
		}
		if x.Tracing() {
			x.Step(r.Context(), "auth", slog.String("auth", method), slog.String("outcome", outcome))
		}
		return p, err
	})
}

func (b *builder) hmac(setting string) auth.Verifier {
	if b.cfg.HMACKeySource == "" {
		b.fault(setting, errors.New("hmac needs ORGA_AUTH_HMAC_KEY_SOURCE"))
		return nil
	}
	if b.hmacKey == nil {
		src := b.open("ORGA_AUTH_HMAC_KEY_SOURCE", b.cfg.HMACKeySource, secret.DecodeText)
		if src == nil {
			return nil
		}
		b.hmacKey = secret.NewCache(src, secret.CacheOptions{
			Name: b.cfg.HMACKeySource, TTL: b.cfg.APIKeyTTL, Log: b.log, OnChange: b.checkHMAC,
		})
	}
	keys := b.hmacKey
	return auth.NewHMAC(func(ctx context.Context) (string, error) {
		s, err := keys.Get(ctx)
		if out, ok := errors.AsType[*secret.FetchError](err); ok {
			return "", session.SecretProblem(out)
		}
		return s.Value.Reveal(), err
	})
}

// minHMACKey is how long a shared key should be, in characters: 32 of hex are 128 bits.
const minHMACKey = 32

// checkHMAC warns of a shared key that is short enough to be guessed. What is long enough is the owner's
// to say.
func (b *builder) checkHMAC(s secret.Secret) {
	for key := range strings.SplitSeq(s.Value.Reveal(), "\n") {
		if key = strings.TrimSpace(key); key != "" && len(key) < minHMACKey {
			b.log.Warn("an hmac key is shorter than 32 characters, and may be guessed", "source", b.cfg.HMACKeySource)
		}
	}
}

// issuer is one verifier for all tenants that have the same issuer and audience: they share the tokens that
// it has verified. Those with another audience share the issuer's keys.
func (b *builder) issuer(s scope, t Tenant) auth.Verifier {
	config := auth.OIDCConfig{Issuer: t.AuthIssuer, Audience: t.AuthAudience, JWKSURL: t.AuthJWKSURL, Log: b.log}
	if v, ok := b.oidc[config]; ok {
		return v
	}
	v, err := b.issuers.NewOIDC(config)
	if err != nil {
		b.fault(s.name("ORGA_AUTH_ISSUER, ORGA_AUTH_AUDIENCE, ORGA_AUTH_JWKS_URL", "authIssuer, authAudience, authJWKSURL"), err)
		return nil
	}
	b.oidc[config] = v
	return v
}
