package ratelimit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const (
	// maxCallers bounds the table of a Memory: 15 MB when full, and far more callers than one instance
	// can serve within a period.
	maxCallers = 1 << 18
	// evictionSample is how many entries are looked at to find one to drop.
	evictionSample = 16
)

// Memory is a Limiter in the memory of this instance (GCRA): exact for itself, blind to the others.
// It runs on the wall clock, since a monotonic one stands still in a frozen instance; a clock that is
// set back costs a caller one period at most. It is safe for concurrent use; make one with NewMemory.
//
// Its table is bounded. A full one forgets a caller for each new one: of a few at random, the one whose
// quota is nearest to being whole, which most often it is. So whoever is limited is forgotten last, and
// cannot get a fresh quota by sending many new callers along.
type Memory struct {
	seed maphash.Seed // keeps callers from choosing keys that collide

	mu     sync.Mutex
	fullAt map[uint64]int64 // by hash of the key: when its quota is whole again, nanoseconds since 1970
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{seed: maphash.MakeSeed(), fullAt: make(map[uint64]int64)}
}

// Allow implements Limiter. It never fails.
func (m *Memory) Allow(_ context.Context, key string, q Quota) (Decision, error) {
	var (
		hash  = maphash.String(m.seed, key)
		share = int64(q.Per) / int64(q.N)
		burst = share * int64(q.N)
		now   = time.Now().UnixNano()
	)
	m.mu.Lock()
	defer m.mu.Unlock()
	fullAt, known := m.fullAt[hash]
	used := max(fullAt-now, 0)
	if used > burst { // the clock was set back
		used = burst
		m.fullAt[hash] = now + used
	}
	if used+share > burst {
		return Decision{Retry: time.Duration(used + share - burst), Reset: time.Duration(used)}, nil
	}
	if !known && len(m.fullAt) >= maxCallers {
		m.evict()
	}
	used += share
	m.fullAt[hash] = now + used
	return Decision{
		Allowed:   true,
		Remaining: int((burst - used) / share),
		Reset:     time.Duration(used),
	}, nil
}

// evict drops the entry that is nearest to a whole quota, of a few from a random place in the table.
// m.mu is held.
func (m *Memory) evict() {
	var (
		seen    int
		least   uint64
		leastAt int64
	)
	for hash, fullAt := range m.fullAt {
		if seen == 0 || fullAt < leastAt {
			least, leastAt = hash, fullAt
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	delete(m.fullAt, least)
}
