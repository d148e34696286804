package auth

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/internal/wallclock"
)

const (
	// memoryBytes bounds each of the two generations of verified tokens.
	memoryBytes = 1 << 20
	// memoryAge is when a generation is replaced even if it is not full: by then, keys have been refetched, and older tokens
	// would be verified again anyway.
	memoryAge = keysMaxAge
	// tokenBytes is the memory of a verified token without its strings: the struct, two map slots and the principal's map.
	tokenBytes = 768
)

// memory caches verified tokens, because verifying signatures is most of a request's cost. It stores only the parts of a
// token that are used, and nothing of refused tokens. Tokens unused since the last generation began are dropped.
//
// The key is the signed text, not the signature: anybody can derive a second valid ECDSA signature from one. Such a token
// replaces the first.
type memory struct {
	mu    sync.Mutex
	young map[signed]*verifiedToken
	old   map[signed]*verifiedToken
	bytes int       // lower bound of young's size
	since time.Time // start of young; wall clock
}

// signed identifies a signed text for one verifier.
type signed struct {
	verifier *oidcVerifier
	hash     [sha256.Size]byte // of header.payload
}

// verifiedToken is a token with a valid signature, issuer and audience.
type verifiedToken struct {
	signature [sha256.Size]byte // hash of the signature as sent
	keys      int               // number of the keys that verified it; not the keys, which may be large and outdated
	principal Principal
	notBefore time.Time
	expiry    time.Time
}

// split returns the cache key of a token, and the hash of its signature.
func (v *oidcVerifier) split(token string) (signed, [sha256.Size]byte) {
	dot := strings.LastIndexByte(token, '.')
	return signed{v, sha256.Sum256([]byte(token[:dot]))}, sha256.Sum256([]byte(token[dot:]))
}

// get returns the token with this signature; nil if it is not cached.
func (m *memory) get(s signed, signature [sha256.Size]byte) *verifiedToken {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.young[s]
	if t == nil {
		if t = m.old[s]; t != nil {
			m.put(s, t)
		}
	}
	if t == nil || t.signature != signature {
		return nil
	}
	return t
}

// add caches t.
func (m *memory) add(s signed, t *verifiedToken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(s, t)
}

// drop removes the token.
func (m *memory) drop(s signed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.young, s)
	delete(m.old, s)
}

// put adds t to young. m.mu is held.
func (m *memory) put(s signed, t *verifiedToken) {
	size := tokenBytes + t.principal.size()
	if m.young == nil || m.bytes+size > memoryBytes || !wallclock.Within(m.since, memoryAge) {
		m.old, m.young = m.young, make(map[signed]*verifiedToken)
		m.bytes, m.since = 0, wallclock.Now()
	}
	m.young[s] = t
	m.bytes += size
}

// size returns the length of a principal's strings.
func (p Principal) size() int {
	n := len(p.Subject)
	for _, v := range p.Claims {
		switch v := v.(type) {
		case string:
			n += len(v)
		case json.RawMessage:
			n += len(v)
		}
	}
	return n
}
