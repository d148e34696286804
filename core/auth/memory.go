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
	// memoryAge is when a generation is replaced though it is not full: tokens are verified anew with keys
	// that were fetched anew, so what is older is of no use.
	memoryAge = keysMaxAge
	// tokenBytes is the size in memory of a verified token, less its texts: the struct, two map slots and
	// the principal's map.
	tokenBytes = 768
)

// memory remembers verified tokens, since most of what a request costs is a signature. It keeps nothing of
// a token but what is used, and nothing of a refused one. What was not asked for since the last generation
// began is forgotten.
//
// A token is known by what was signed. Of an ECDSA signature anybody can make a second one that is valid,
// and another token with it: it takes the place of the first.
type memory struct {
	mu    sync.Mutex
	young map[signed]*verifiedToken
	old   map[signed]*verifiedToken
	bytes int       // of young, at least
	since time.Time // when young was made; wall clock
}

// signed is the signed text and the verifier that accepted it.
type signed struct {
	verifier *oidcVerifier
	hash     [sha256.Size]byte // of header.payload
}

// verifiedToken is a token whose signature, issuer and audience hold.
type verifiedToken struct {
	signature [sha256.Size]byte // hash of the signature as it was sent
	keys      int               // number of the keys that hold it; not those themselves, which may be large and long replaced
	principal Principal
	notBefore time.Time
	expiry    time.Time
}

// split returns what is remembered of a token by, and the hash of its signature.
func (v *oidcVerifier) split(token string) (signed, [sha256.Size]byte) {
	dot := strings.LastIndexByte(token, '.')
	return signed{v, sha256.Sum256([]byte(token[:dot]))}, sha256.Sum256([]byte(token[dot:]))
}

// get returns the token of this signature; nil when it is not remembered.
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

// add remembers t.
func (m *memory) add(s signed, t *verifiedToken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(s, t)
}

// drop forgets the token.
func (m *memory) drop(s signed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.young, s)
	delete(m.old, s)
}

// put adds t to the young. m.mu is held.
func (m *memory) put(s signed, t *verifiedToken) {
	size := tokenBytes + t.principal.size()
	if m.young == nil || m.bytes+size > memoryBytes || !wallclock.Within(m.since, memoryAge) {
		m.old, m.young = m.young, make(map[signed]*verifiedToken)
		m.bytes, m.since = 0, wallclock.Now()
	}
	m.young[s] = t
	m.bytes += size
}

// size returns the length of what a principal keeps of a token.
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
