package throttle

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/internal/gcra"
	"github.com/orga-session/orga-session/core/ratelimit"
)

const (
	// maxBuckets bounds the table of a Memory: 19 MB when full, and far more callers than one instance can serve within a
	// period.
	maxBuckets = 1 << 18
	// evictionSample is the number of entries from which one is chosen for eviction.
	evictionSample = 16
)

// Memory is a [ratelimit.Limiter] in the memory of this instance. It is exact, but does not count requests to other
// instances. It is safe for concurrent use; create one with [NewMemory].
//
// It uses the wall clock, because the monotonic clock stops in a frozen instance. If the clock is set back, a caller may
// wait up to one period longer.
//
// Its size is bounded. When full, each new entry evicts the least used of a few random entries, so that a limited caller
// stays limited no matter how many new callers arrive.
type Memory struct {
	seed maphash.Seed // prevents callers from choosing colliding keys

	mu    sync.Mutex
	table map[uint64]usage
}

// usage is the state of a bucket, in microseconds.
type usage struct {
	fullAt int64 // since 1970: when none of the quota is in use
	burst  int64
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{seed: maphash.MakeSeed(), table: make(map[uint64]usage)}
}

// Allow implements [ratelimit.Limiter]. It never fails.
func (m *Memory) Allow(_ context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	decisions := make([]ratelimit.Decision, len(buckets))
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now().UnixMicro() // under the lock, so that times never decrease
	allowed := true
	for _, b := range buckets {
		rate, hash := gcra.New(b.Quota), hashOf(b, m.seed)
		before := m.table[hash]
		if latest := rate.Clamp(now); before.fullAt > latest { // the clock was set back
			m.table[hash] = usage{latest, rate.Burst}
		}
		allowed = allowed && rate.HasRoom(rate.Used(before.fullAt, now))
	}
	for i, b := range buckets {
		rate, hash := gcra.New(b.Quota), hashOf(b, m.seed)
		before, known := m.table[hash]
		used := rate.Used(before.fullAt, now)
		if allowed {
			used += rate.Share
			if !known && len(m.table) >= maxBuckets {
				evict(m.table, func(u usage) float64 { return float64(u.fullAt-now) / float64(u.burst) })
			}
			m.table[hash] = usage{now + used, rate.Burst}
		}
		decisions[i] = rate.Decide(used, allowed)
	}
	return decisions, nil
}

// hashOf returns the key of a bucket in a table.
func hashOf(b ratelimit.Bucket, seed maphash.Seed) uint64 {
	const odd1, odd2 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
	return maphash.String(seed, b.Key) + uint64(b.Quota.N)*odd1 + uint64(b.Quota.Per)*odd2 //nolint:gosec // neither is below zero, and any bits do
}

// evict removes the entry with the least weight among a few at a random place in the table.
func evict[V any](table map[uint64]V, weight func(V) float64) {
	var (
		seen   int
		victim uint64
		least  float64
	)
	for hash, v := range table {
		if w := weight(v); seen == 0 || w < least {
			victim, least = hash, w
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	delete(table, victim)
}
