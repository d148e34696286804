package ratelimit

import "time"

// SetBack makes the state of a bucket look as if the clock had been set back by d since.
func (m *Memory) SetBack(b Bucket, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.table[b.hash(m.seed)]
	u.fullAt += d.Microseconds()
	m.table[b.hash(m.seed)] = u
}
