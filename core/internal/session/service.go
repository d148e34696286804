// Package session mints session configs: with the permanent key, it gets a token and its ICE servers from Orga, and
// recovers from failures as far as the request's time allows.
package session

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/orga-session/orga-session/core/internal/metric"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/secret"
)

// Service mints session configs for one tenant. It keeps no tokens: each Mint creates a new one. It is safe for concurrent
// use.
type Service struct {
	Key  *secretcache.Cache
	Orga *orga.Client
}

// minLife is the remaining life that a new token needs: a client takes up to 5 s to gather ICE candidates, and its call
// then has 10 s.
const minLife = 15 * time.Second

// Mint returns a session config within ctx's deadline (see Budget). Its errors are *problem.Problem. It records the
// durations and the number of calls in ctx's request.Record.
//
// It may mint more than once and return only the last token: if an answer was lost (5xx, a dead or silent connection, a
// truncated body), or if the ICE call refuses the token. Tokens that it does not return expire unused.
func (s *Service) Mint(ctx context.Context) (orga.SessionConfig, error) {
	config, err := s.mint(ctx)
	if err != nil {
		return orga.SessionConfig{}, refusal(ctx, err)
	}
	log := request.Logger(ctx)
	if len(config.ICEServers) == 0 {
		log.WarnContext(ctx, "Orga sent no ICE servers: clients behind a NAT will not connect")
	}
	// Return it anyway: our clock may be wrong.
	if left := time.Until(config.Token.ExpiresAt); !config.Token.ExpiresAt.IsZero() && left < minLife {
		log.WarnContext(ctx, "Orga sent a token that expires within 15 s: clients may not connect in time",
			"expires_in_ms", left.Milliseconds(), metric.Key, metric.ShortLivedTokens)
	}
	return config, nil
}

func (s *Service) mint(ctx context.Context) (config orga.SessionConfig, err error) {
	x := request.From(ctx)
	key, err := timed(&x.Secret, func() (secret.Secret, error) { return s.Key.Get(ctx) })
	if err != nil {
		return config, err
	}
	request.Logger(ctx).LogAttrs(ctx, slog.LevelDebug, "key read", slog.String("version", string(key.Version)))
	if config.Token, key, err = s.token(ctx, key); err != nil {
		return config, err
	}
	config.ICEServers, err = s.ice(ctx, key, config.Token)
	if tokenRefused(err) {
		// The token became invalid between the two calls. Try a new one, once.
		if config.Token, key, err = s.token(ctx, key); err != nil {
			return config, err
		}
		config.ICEServers, err = s.ice(ctx, key, config.Token)
	}
	return config, err
}

// token mints with key. If Orga refuses the key (401 or 403), it may have been replaced: token asks the store, and tries a
// newer key, which it also returns, once.
func (s *Service) token(ctx context.Context, key secret.Secret) (orga.EphemeralToken, secret.Secret, error) {
	x := request.From(ctx)
	mint := func() (orga.EphemeralToken, error) {
		return retry(ctx, func(ctx context.Context) (orga.EphemeralToken, error) {
			token, err := s.client(key).MintToken(ctx)
			x.OrgaRequestID = token.RequestID
			return token, err
		})
	}
	token, err := timed(&x.Token, mint)
	if !keyRefused(err) {
		return token, key, err
	}
	newer, rerr := timed(&x.Secret, func() (secret.Secret, error) { return s.Key.Refresh(ctx, key.Version) })
	if rerr != nil || newer.Version == key.Version {
		return token, key, errors.Join(err, rerr)
	}
	request.Logger(ctx).LogAttrs(ctx, slog.LevelDebug, "key refreshed", slog.String("version", string(newer.Version)))
	key = newer
	token, err = timed(&x.Token, mint)
	return token, key, err
}

// client returns the Orga client with the current key. Only this line reveals the key.
func (s *Service) client(key secret.Secret) *orga.Client { return s.Orga.WithKey(key.Value.Reveal()) }

func (s *Service) ice(ctx context.Context, key secret.Secret, token orga.EphemeralToken) ([]orga.ICEServer, error) {
	return timed(&request.From(ctx).ICE, func() ([]orga.ICEServer, error) {
		return retry(ctx, func(ctx context.Context) ([]orga.ICEServer, error) {
			return s.client(key).ICEServers(ctx, token)
		})
	})
}

// keyRefused reports whether Orga refused the key itself: 401 and 403 on the mint.
func keyRefused(err error) bool {
	e, ok := errors.AsType[*orga.Error](err)
	return ok && e.Call == orga.CallMint && errors.Is(e, orga.ErrAuthentication)
}

// tokenRefused reports whether Orga rejected the token: 401 on the ICE call.
func tokenRefused(err error) bool {
	e, ok := errors.AsType[*orga.Error](err)
	return ok && e.Call == orga.CallICE && e.Status == http.StatusUnauthorized
}

// timed adds the duration of do to spent.
func timed[T any](spent *time.Duration, do func() (T, error)) (T, error) {
	start := time.Now()
	v, err := do()
	*spent += time.Since(start)
	return v, err
}
