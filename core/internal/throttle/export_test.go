package throttle

import (
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// SetBack changes the state of a bucket as if the clock had been set back by d since.
func (m *Memory) SetBack(b ratelimit.Bucket, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.table[hashOf(b, m.seed)]
	u.fullAt += d.Microseconds()
	m.table[hashOf(b, m.seed)] = u
}
