// Package session is what the endpoint exists for: it turns the permanent key into a session config,
// token and ICE servers together, and recovers from every failure that the request's time allows.
package session

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/orga-session/orga-session/core/internal/metric"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/secret"
)

// Service mints session configs for one tenant. It keeps no token: each Mint makes a new one. It is
// safe for concurrent use.
type Service struct {
	Key  *secret.Cache
	Orga *orga.Client
}

// minLife is what a token needs when it arrives: gathering ICE candidates takes a client up to 5 s, and its
// call has 10 s after that.
const minLife = 15 * time.Second

// Mint makes a session config within ctx's deadline (see Budget). Its errors are *problem.Problem.
// It records in ctx's request.Record where the time went, and the number of calls.
//
// It may mint more than once and return only the last token: after an answer that was lost (5xx, a
// dead or silent connection, one that broke off) and when the ICE call refuses the token. What it does
// not return expires by itself, unused.
func (s *Service) Mint(ctx context.Context) (orga.SessionConfig, error) {
	config, err := s.mint(ctx)
	if err != nil {
		return orga.SessionConfig{}, refusal(ctx, err)
	}
	log := request.Logger(ctx)
	if len(config.ICEServers) == 0 {
		log.WarnContext(ctx, "Orga sent no ICE servers: clients behind a NAT will not connect")
	}
	// Handed on all the same: it may be our clock that is wrong.
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
		// The token died between the two calls; a new one has its own chance, once.
		if config.Token, key, err = s.token(ctx, key); err != nil {
			return config, err
		}
		config.ICEServers, err = s.ice(ctx, key, config.Token)
	}
	return config, err
}

// token mints with key. If Orga refuses it (401 or 403), the key
// may have been replaced: the store is asked, and a newer key (returned beside the token) has one try.
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

// client is the Orga client with the current key. This is the one line that reveals the key.
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

// tokenRefused reports whether Orga does not know the token: 401 on the ICE call.
func tokenRefused(err error) bool {
	e, ok := errors.AsType[*orga.Error](err)
	return ok && e.Call == orga.CallICE && e.Status == http.StatusUnauthorized
}

// timed adds what do took to spent.
func timed[T any](spent *time.Duration, do func() (T, error)) (T, error) {
	start := time.Now()
	v, err := do()
	*spent += time.Since(start)
	return v, err
}
