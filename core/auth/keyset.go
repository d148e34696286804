package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orga-session/orga-session/core/internal/flight"
	"github.com/orga-session/orga-session/core/internal/wallclock"
)

const (
	keysTimeout  = 10 * time.Second // of one fetch, discovery included; callers wait less: see keysWait
	keysMaxAge   = 10 * time.Minute // when they are fetched anew: how long a withdrawn key is trusted
	keysCooldown = 30 * time.Second // between fetches that tokens cause, or that fail
	keysBackoff  = time.Second      // between fetches that fail while there are no keys at all
	maxHung      = 4                // fetches that hang beyond their time
	maxTries     = 16               // signatures that are tried for a token that does not name its key
)

// keySet is the keys that an issuer publishes.
//
// However many requests need keys, one fetch is under way. It belongs to none of them: each may leave. Keys
// that are old are fetched anew, too, and go on verifying until others have come.
type keySet struct {
	issuer     string
	configured *address // the JWKS URL; nil discovers it
	discovery  *address // of the document that has the JWKS URL; nil where that is configured
	transport  http.RoundTripper
	public     http.RoundTripper // to other hosts that an issuer on the internet names
	log        *slog.Logger

	current atomic.Pointer[keys] // nil until the first good fetch; written under mu
	held    atomic.Bool          // whether a signature ever has
	flights flight.Group[*keys]

	mu           sync.Mutex
	flight       *flight.Flight[*keys] // nil when none is under way
	discovered   *address              // the JWKS URL, when it had to be asked for
	discoveredAt time.Time             // wall clock, as are all here
	cooledFrom   time.Time             // when the last fetch began that a token caused, or that failed with keys at hand
	failedAt     time.Time             // when the last fetch ended that failed
	failed       error                 // nil after a good one
	fetches      int                   // that succeeded
}

// keys is one state of an issuer's keys; it never changes.
type keys struct {
	list      []publicKey
	byID      map[string][]publicKey // "" for those without an id
	number    int                    // of the fetch, from 1
	fetchedAt time.Time              // when the fetch began; wall clock
}

func newKeySet(from source, transport, public http.RoundTripper, log *slog.Logger) *keySet {
	s := &keySet{issuer: from.issuer, transport: transport, public: public, log: log}
	if from.jwksURL != "" { // the one that is used has been checked
		at, _ := url.Parse(from.jwksURL)
		s.configured = &address{at, transport}
	} else {
		at, _ := url.Parse(strings.TrimSuffix(from.issuer, "/") + "/.well-known/openid-configuration")
		s.discovery = &address{at, transport}
	}
	s.flights.Timeout, s.flights.MaxAbandoned = keysTimeout, maxHung
	return s
}

// atHand returns the keys that there are; nil for none. If they are old, it starts a fetch that nobody waits
// for.
func (s *keySet) atHand(ctx context.Context) *keys {
	k := s.current.Load()
	if k == nil || wallclock.Within(k.fetchedAt, keysMaxAge) {
		return k
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load() == k && s.flight == nil && !wallclock.Within(s.cooledFrom, keysCooldown) {
		s.start(ctx)
	}
	return k
}

// verify returns the keys of which one has made the token's signature. A token that is not ours, by what it
// says itself, causes no fetch while there are keys.
func (s *keySet) verify(ctx context.Context, t *token, ours bool) (*keys, error) {
	known := s.atHand(ctx)
	if known.verify(t) {
		s.held.Store(true)
		return known, nil
	}
	if !ours && known != nil {
		return nil, errTokenIssuer
	}
	newer, err := s.newerThan(ctx, known)
	switch {
	case err != nil && known.has(t.keyID):
		return nil, t.unverified() // the key is at hand, and has not made the signature
	case err != nil && known != nil:
		return nil, fmt.Errorf("no cached key has the token's id %.64q, and fetching failed: %w", t.keyID, err)
	case err != nil:
		return nil, err
	}
	if newer != known && newer.verify(t) {
		s.held.Store(true)
		return newer, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if newer != known && !wallclock.Within(s.cooledFrom, keysCooldown) {
		s.cooledFrom = wallclock.Now() // these keys came for this token, and it is a bad one
	}
	return nil, t.unverified()
}

func (k *keys) has(id string) bool { return k != nil && id != "" && k.byID[id] != nil }

// verify reports whether one of the keys has made the token's signature.
func (k *keys) verify(t *token) bool {
	if k == nil {
		return false
	}
	candidates := k.list
	if t.keyID != "" {
		if candidates = k.byID[t.keyID]; candidates == nil {
			candidates = k.byID[""]
		}
	}
	tries := 0
	for _, key := range candidates {
		if !key.fits(t.algorithm) {
			continue
		}
		if tries++; tries > maxTries {
			return false
		}
		if _, err := t.jws.Verify(key.key); err == nil {
			return true
		}
	}
	return false
}

// newerThan returns the keys that replace known, which may be nil, fetched where that is allowed; known
// itself when there are none, and it is too early to ask. The error is an UnavailableError, if the issuer
// cannot be reached, or ctx's own.
func (s *keySet) newerThan(ctx context.Context, known *keys) (*keys, error) {
	s.mu.Lock()
	current, f := s.current.Load(), s.flight
	switch {
	case current != known:
		s.mu.Unlock()
		return current, nil
	case f != nil:
	case known == nil && s.failed != nil && wallclock.Within(s.failedAt, keysBackoff):
		defer s.mu.Unlock()
		return nil, unavailable(s.failed, keysBackoff)
	case known != nil && s.cools(known):
		defer s.mu.Unlock()
		if s.failed != nil {
			return nil, unavailable(s.failed, keysCooldown-wallclock.Now().Sub(s.cooledFrom))
		}
		return known, nil
	default:
		if known != nil {
			s.cooledFrom = wallclock.Now()
		}
		f = s.start(ctx)
	}
	s.mu.Unlock()

	wait, cancel := keysWait(ctx)
	defer cancel()
	switch {
	case f.Wait(wait) == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	default:
		return nil, unavailable(errKeysSlow, keysBackoff)
	}
	if newer, err := f.Result(); err == nil {
		return newer, nil
	}
	// It is too early for another fetch now, unless this one had been frozen along with the instance.
	return s.newerThan(ctx, known)
}

// keysWait bounds how long a caller waits for keys: three quarters of its remaining time, because what
// follows needs the rest.
func keysWait(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/4*3)
}

var errKeysSlow = errors.New("the issuer's keys have not arrived in time")

// cools reports whether a token may cause no fetch yet. Keys that came for the very first tokens are not
// fetched again while these are still being checked, but a rotation that follows a good one is followed at
// once. s.mu is held.
func (s *keySet) cools(known *keys) bool {
	return wallclock.Within(s.cooledFrom, keysCooldown) || !s.held.Load() && wallclock.Within(known.fetchedAt, keysCooldown)
}

func unavailable(cause error, retryAfter time.Duration) error {
	return &UnavailableError{RetryAfter: retryAfter, Err: cause}
}

// start begins a fetch that no request can cancel. s.mu is held.
func (s *keySet) start(ctx context.Context) *flight.Flight[*keys] {
	began := wallclock.Now()
	at := s.configured
	if at == nil && wallclock.Within(s.discoveredAt, keysMaxAge) { // after that, they may have moved
		at = s.discovered
	}
	remembered := s.configured == nil && at != nil
	s.flight = s.flights.Start(ctx, func(ctx context.Context) (*keys, error) {
		return s.fetch(ctx, at)
	}, func(fetched *keys, err error) {
		if err != nil {
			s.log.Warn("issuer key fetch failed", "issuer", s.issuer, "cause", err.Error())
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.flight = nil
		if err == nil {
			s.failed = nil
			s.fetches++
			fetched.number, fetched.fetchedAt = s.fetches, began
			s.current.Store(fetched)
			return
		}
		s.failed, s.failedAt = err, wallclock.Now()
		if s.current.Load() != nil {
			s.cooledFrom = began
		}
		if remembered { // what was discovered just now is kept; what was discovered before may have moved
			s.discovered = nil
		}
	})
	return s.flight
}
