package auth

import (
	"net/http"
	"time"

	"github.com/orga-session/orga-session/core/internal/authheader"
)

// Remembers reports whether v has verified the token of r with the keys that it has now.
func Remembers(v Verifier, r *http.Request) bool {
	o := v.(*oidcVerifier)
	raw, _ := authheader.Credential(r.Header, authheader.Bearer)
	id, signature := o.split(raw)
	o.verified.mu.Lock()
	defer o.verified.mu.Unlock()
	t := o.verified.young[id]
	if t == nil {
		t = o.verified.old[id]
	}
	return t != nil && t.signature == signature && t.keys == o.keys.current.Load().number
}

// Freeze makes everything that the key sets remember d older, as if the instance had been frozen for d.
func (i *Issuers) Freeze(d time.Duration) {
	for _, s := range i.keys {
		s.mu.Lock()
		if k := s.current.Load(); k != nil {
			older := *k
			older.fetchedAt = k.fetchedAt.Add(-d)
			s.current.Store(&older)
		}
		for _, at := range []*time.Time{&s.flightStart, &s.discoveredAt, &s.cooldownStart, &s.failedAt} {
			*at = at.Add(-d)
		}
		s.mu.Unlock()
	}
}
