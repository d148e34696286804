package auth

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/orga-session/orga-session/core/internal/wallclock"
	"github.com/orga-session/orga-session/core/problem"
)

const (
	keysTimeout  = 2 * time.Second  // of one fetch, discovery included
	keysMaxAge   = 10 * time.Minute // when they are fetched anew: how long a key that was withdrawn is trusted
	keysCooldown = 30 * time.Second // between fetches that tokens cause, or that fail
	keysBackoff  = time.Second      // between fetches that fail while there are no keys at all
)

// keySet is an oidc.KeySet of an issuer's published keys. go-oidc's own cannot be wrapped into this
// behaviour: it fetches for every unknown key id and every bad signature, with no deadline or bound of
// its own, gives up the keys at hand for an empty answer, and says neither whether it had keys nor
// whether fetching them failed, which decides between 401 and 503.
//
// However many requests need keys, one fetch is under way. It belongs to none of them: each may leave.
// Keys that are old are fetched anew, too, and go on verifying until others have come.
type keySet struct {
	issuer     string
	configured string // the JWKS URL; "" has it discovered
	http       http.Client
	log        *slog.Logger

	current atomic.Pointer[keys] // nil until the first good fetch; written under mu
	held    atomic.Bool          // whether a signature ever has

	mu           sync.Mutex
	flight       *keysFlight
	discovered   string    // the JWKS URL, when it had to be asked for
	discoveredAt time.Time // wall clock, as are all here
	cooledFrom   time.Time // when the last fetch began that a token caused, or that failed with keys at hand
	failedAt     time.Time // when the last fetch ended that failed
	failed       error
}

// keys is one state of an issuer's keys; it never changes.
type keys struct {
	list      []jose.JSONWebKey
	fetchedAt time.Time // when the fetch began; wall clock
}

// keysFlight is a fetch under way; err is set before done is closed.
type keysFlight struct {
	done chan struct{}
	err  error
}

// signature is how the check of a signature came out: keys when one of them made it, else err. It
// travels in the context, since go-oidc keeps only the text of an error.
type signature struct {
	keys *keys
	err  error
}

type signatureKey struct{}

func newKeySet(cfg OIDCConfig) *keySet {
	s := &keySet{issuer: cfg.Issuer, configured: cfg.JWKSURL, log: cfg.Log}
	s.http.Transport = &http.Transport{ForceAttemptHTTP2: true}
	if cfg.HTTP != nil {
		s.http = *cfg.HTTP
	}
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// VerifySignature implements oidc.KeySet; the algorithm has been checked by its caller.
func (s *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	sig := ctx.Value(signatureKey{}).(*signature)
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		sig.err = errTokenForm
		return nil, sig.err
	}
	var payload []byte
	if payload, sig.keys, sig.err = s.verify(ctx, jws); sig.err == nil {
		s.held.Store(true)
	}
	return payload, sig.err
}

// atHand is the keys that there are; nil for none. Old ones have a fetch begin, which nobody waits for.
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

func (s *keySet) verify(ctx context.Context, jws *jose.JSONWebSignature) ([]byte, *keys, error) {
	known := s.atHand(ctx)
	if known != nil {
		if payload, ok := known.verify(jws); ok {
			return payload, known, nil
		}
	}
	newer, err := s.newerThan(ctx, known)
	if err != nil {
		return nil, nil, err
	}
	if payload, ok := newer.verify(jws); ok {
		return payload, newer, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !wallclock.Within(s.cooledFrom, keysCooldown) {
		s.cooledFrom = wallclock.Now() // these keys came for this token, and it is a bad one
	}
	return nil, nil, errTokenKey
}

func (k *keys) verify(jws *jose.JSONWebSignature) ([]byte, bool) {
	id := jws.Signatures[0].Header.KeyID
	for _, key := range k.list {
		if id == "" || key.KeyID == id {
			if payload, err := jws.Verify(&key); err == nil {
				return payload, true
			}
		}
	}
	return nil, false
}

// newerThan is the keys that replace known, which may be nil, fetched where that is allowed. The error
// is errTokenKey when there are none, and a Problem when there are no keys at all.
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
		return nil, unavailable(s.failed)
	case known != nil && s.cools(known):
		s.mu.Unlock()
		return nil, errTokenKey
	default:
		if known != nil {
			s.cooledFrom = wallclock.Now()
		}
		f = s.start(ctx)
	}
	s.mu.Unlock()

	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, problem.New(problem.Timeout, ctx.Err())
	}
	switch current = s.current.Load(); {
	case current != known:
		return current, nil
	case known == nil:
		return nil, unavailable(f.err)
	}
	// The fetch has failed, and cools now; unless it had been frozen along with the instance.
	return s.newerThan(ctx, known)
}

// cools tells whether a token may cause no fetch yet. Keys that came for the very first tokens are not
// fetched again while these are still being checked, but a rotation that follows a good one is followed
// at once. s.mu is held.
func (s *keySet) cools(known *keys) bool {
	return wallclock.Within(s.cooledFrom, keysCooldown) || !s.held.Load() && wallclock.Within(known.fetchedAt, keysCooldown)
}

func unavailable(cause error) error {
	return &problem.Problem{Code: problem.AuthUnavailable, RetryAfter: keysBackoff, Cause: cause}
}

// start sends a fetch on its way, on a context that no request can cancel. s.mu is held.
func (s *keySet) start(ctx context.Context) *keysFlight {
	f := &keysFlight{done: make(chan struct{})}
	s.flight = f
	began := wallclock.Now()
	at := s.configured
	if at == "" && wallclock.Within(s.discoveredAt, keysMaxAge) { // after that, they may have moved
		at = s.discovered
	}
	discovers := at == ""
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	go func() {
		defer cancel()
		fetched, at, err := s.fetch(ctx, at)
		if err != nil {
			s.log.Warn("the issuer's keys could not be fetched", "issuer", s.issuer, "cause", err.Error())
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.failed, s.failedAt = err, wallclock.Now()
			if s.current.Load() != nil {
				s.cooledFrom = began
			}
		} else {
			s.failed = nil
			fetched.fetchedAt = began
			s.current.Store(fetched)
		}
		if s.discovered = at; discovers {
			s.discoveredAt = began
		}
		s.flight, f.err = nil, err
		close(f.done)
	}()
	return f
}
