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
	keysTimeout  = 10 * time.Second       // for one fetch, discovery included; callers wait less
	keysMaxAge   = 10 * time.Minute       // after this, the next request refetches the keys in the background
	keysWaitAge  = 20 * time.Minute       // after this, requests wait for the refetch: see cached
	keysOutage   = time.Minute            // after a failed fetch, requests wait for the next only briefly, or not at all
	keysBrief    = 600 * time.Millisecond // of which a request that is to wait only briefly waits three quarters
	keysCooldown = 30 * time.Second       // between fetches caused by tokens, or after a failed one
	keysBackoff  = time.Second            // between failed fetches while there are no keys
	maxHung      = 4                      // fetches that hang past their timeout
	maxTries     = 16                     // signature checks for a token whose key is not known; expensive ones count as several
)

// keySet is an issuer's published keys.
//
// At most one fetch is in flight, shared by all requests and independent of each. Old keys are refetched, and stay valid
// while the issuer cannot be reached.
type keySet struct {
	issuer     string
	configured *address // the JWKS URL; nil discovers it
	discovery  *address // of the document with the JWKS URL; nil if that is configured
	transport  http.RoundTripper
	public     http.RoundTripper // for other hosts named by an issuer on the internet
	log        *slog.Logger

	current  atomic.Pointer[keys] // nil until the first successful fetch; written under mu
	verified atomic.Bool          // a signature has been verified at least once
	flights  flight.Group[*keys]

	mu            sync.Mutex
	flight        *flight.Flight[*keys] // nil if none is in flight; see inFlight
	flightStart   time.Time             // of flight; wall clock, like all times here
	discovered    *address              // the discovered JWKS URL
	discoveredAt  time.Time
	cooldownStart time.Time // start of the last fetch that a token caused, or that failed while there were keys
	failedAt      time.Time // end of the last failed fetch
	failed        error     // nil after a successful one
	fetches       int       // number of successful fetches
}

// keys is an immutable snapshot of an issuer's keys.
type keys struct {
	list      []publicKey
	byID      map[string][]publicKey // "" for keys without an ID
	number    int                    // of the fetch, starting at 1
	fetchedAt time.Time              // start of the fetch; wall clock
}

func newKeySet(from source, transport, public http.RoundTripper, log *slog.Logger) *keySet {
	s := &keySet{issuer: from.issuer, transport: transport, public: public, log: log}
	if from.jwksURL != "" { // the effective one has been checked
		at, _ := url.Parse(from.jwksURL)
		s.configured = &address{at, transport}
	} else {
		at, _ := url.Parse(strings.TrimSuffix(from.issuer, "/") + "/.well-known/openid-configuration")
		s.discovery = &address{at, transport}
	}
	s.flights.Timeout, s.flights.MaxAbandoned = keysTimeout, maxHung
	return s
}

// cached returns the cached keys; nil if there are none. If they are old, it starts a fetch without waiting for it, so that
// regular traffic always finds recent keys and never waits. An instance that was idle for longer has keys that the issuer
// may have withdrawn hours ago. Then all callers wait for the fetch, but at most for a third of their remaining time, and use
// the old keys only if the issuer cannot be reached.
func (s *keySet) cached(ctx context.Context) *keys {
	k := s.current.Load()
	if k == nil || wallclock.Within(k.fetchedAt, keysMaxAge) {
		return k
	}
	if f := s.refresh(ctx, k); f != nil {
		_ = f.WaitShare(ctx, 1.0/3) // if the keys do not arrive, the cached ones are still valid
	}
	return s.current.Load()
}

// refresh starts a fetch that replaces old keys, unless it is too early for one. It returns the fetch in flight if the caller
// must wait for it, otherwise nil.
func (s *keySet) refresh(ctx context.Context, old *keys) *flight.Flight[*keys] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load() != old {
		return nil
	}
	f := s.inFlight()
	if f == nil && !wallclock.Within(s.cooldownStart, keysCooldown) {
		f = s.start(ctx)
	}
	if s.down() || wallclock.Within(old.fetchedAt, keysWaitAge) {
		return nil
	}
	return f
}

// down reports whether the last fetch failed, and recently. s.mu is held.
func (s *keySet) down() bool { return s.failed != nil && wallclock.Within(s.failedAt, keysOutage) }

// inFlight returns the fetch in flight; nil if there is none, or if the instance was frozen during it: its connection is
// probably dead, and its answer, if it comes, is old. s.mu is held.
func (s *keySet) inFlight() *flight.Flight[*keys] {
	if s.flight != nil && !wallclock.Within(s.flightStart, 2*keysTimeout) {
		return nil
	}
	return s.flight
}

// verify returns the known keys (nil if there are none) or newer ones, whichever made the token's signature. refusal is why
// the token's own claims show that it is not for us, nil if they do not; verify returns it unless there are no keys, or keys
// that made the signature. Such a token causes no fetch while there are keys.
func (s *keySet) verify(ctx context.Context, t *token, refusal error, known *keys) (*keys, error) {
	if known.verify(t) {
		s.verified.Store(true)
		return known, nil
	}
	refused := refusal != nil
	if refused && known != nil {
		return nil, refusal
	}
	if !refused {
		refusal = t.unverified()
	}
	*t = token{raw: t.raw, keyID: t.keyID} // many tokens may wait, and a parsed one can take 25 times its size
	newer, err := s.newerThan(ctx, known, refused)
	switch {
	case err != nil && known.has(t.keyID): // the key with this ID did not make the signature
		return nil, refusal
	case err != nil && known != nil:
		return nil, fmt.Errorf("no cached key has the token's id %.64q, and fetching failed: %w", t.keyID, err)
	case err != nil:
		return nil, err
	}
	if newer != known {
		parsed, err := parseToken(t.raw)
		if err != nil {
			return nil, err
		}
		if *t = *parsed; newer.verify(t) {
			s.verified.Store(true)
			return newer, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if newer != known && !wallclock.Within(s.cooldownStart, keysCooldown) {
		s.cooldownStart = wallclock.Now() // this token caused the fetch, and is invalid
	}
	return nil, refusal
}

func (k *keys) has(id string) bool { return k != nil && id != "" && k.byID[id] != nil }

// verify reports whether one of the keys made the token's signature.
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
	tries := maxTries
	for _, key := range candidates {
		if !key.fits(t.algorithm) {
			continue
		}
		if tries -= key.tries(); tries < 0 {
			return false
		}
		if _, err := t.jws.Verify(key.key); err == nil {
			return true
		}
	}
	return false
}

// newerThan returns newer keys than known (which may be nil), and fetches them if that is allowed. It returns known if there
// are none and it is too early to fetch. The error is an UnavailableError if the issuer cannot be reached, or ctx's. A refused
// token, and one that comes soon after a failed fetch, waits only briefly: otherwise, garbage tokens would keep instances busy
// while the issuer hangs.
func (s *keySet) newerThan(ctx context.Context, known *keys, refused bool) (*keys, error) {
	s.mu.Lock()
	current, f, down := s.current.Load(), s.inFlight(), s.down()
	switch {
	case current != known:
		s.mu.Unlock()
		return current, nil
	case down && refused:
		defer s.mu.Unlock()
		return nil, unavailable(s.failed, keysBackoff)
	case f != nil:
	case known == nil && s.failed != nil && wallclock.Within(s.failedAt, keysBackoff):
		defer s.mu.Unlock()
		return nil, unavailable(s.failed, keysBackoff)
	case known != nil && s.coolingDown(known):
		defer s.mu.Unlock()
		if s.failed != nil {
			return nil, unavailable(s.failed, keysCooldown-wallclock.Now().Sub(s.cooldownStart))
		}
		return known, nil
	default:
		if known != nil {
			s.cooldownStart = wallclock.Now()
		}
		f = s.start(ctx)
	}
	s.mu.Unlock()

	wait := ctx
	if down || refused {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, keysBrief)
		defer cancel()
	}
	switch {
	case f.WaitShare(wait, 0.75) == nil: // the rest of the request needs time, too
	case ctx.Err() != nil:
		return nil, ctx.Err()
	default:
		return nil, unavailable(errKeysSlow, keysBackoff)
	}
	if newer, err := f.Result(); err == nil {
		return newer, nil
	}
	// It is too early for another fetch, unless this one was frozen along with the instance.
	return s.newerThan(ctx, known, refused)
}

var errKeysSlow = errors.New("the issuer's keys have not arrived in time")

// coolingDown reports whether it is too early for a token to cause a fetch. Keys fetched for the very first tokens are not
// fetched again while these are being checked, but after a valid token, a rotation is noticed at once. s.mu is held.
func (s *keySet) coolingDown(known *keys) bool {
	return wallclock.Within(s.cooldownStart, keysCooldown) || !s.verified.Load() && wallclock.Within(known.fetchedAt, keysCooldown)
}

func unavailable(cause error, retryAfter time.Duration) error {
	return &UnavailableError{RetryAfter: retryAfter, Err: cause}
}

// start starts a fetch that no request can cancel. s.mu is held.
func (s *keySet) start(ctx context.Context) *flight.Flight[*keys] {
	began := wallclock.Now()
	at := s.configured
	if at == nil && wallclock.Within(s.discoveredAt, keysMaxAge) { // a discovered address expires like keys
		at = s.discovered
	}
	remembered := s.configured == nil && at != nil
	var f *flight.Flight[*keys]
	f = s.flights.Start(ctx, func(ctx context.Context) (*keys, error) {
		return s.fetch(ctx, at)
	}, func(fetched *keys, err error) {
		if err != nil {
			s.log.Warn("issuer key fetch failed", "issuer", s.issuer, "cause", err.Error())
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.flight != f {
			return // frozen, and replaced by another fetch
		}
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
			s.cooldownStart = began
		}
		if remembered { // keep an address discovered just now, but drop an older one, which may have changed
			s.discovered = nil
		}
	})
	s.flight, s.flightStart = f, began
	return f
}
