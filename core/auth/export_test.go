package auth

import "time"

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
