package dynamolimit

import (
	"sync"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// maxKnown bounds the size, to at most 1 MB.
const maxKnown = 1 << 12

// known caches the last seen state of buckets. It saves the update that a wrong guess would cost, for budgets, which are
// nearly always in use, and for returning callers. It decides nothing.
type known struct {
	mu     sync.Mutex
	fullAt map[ratelimit.Bucket]int64
}

func (k *known) get(windows []ratelimit.Bucket) []int64 {
	fullAt := make([]int64, len(windows))
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, w := range windows {
		fullAt[i] = k.fullAt[w]
	}
	return fullAt
}

func (k *known) set(windows []ratelimit.Bucket, fullAt []int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fullAt == nil || len(k.fullAt) >= maxKnown {
		k.fullAt = make(map[ratelimit.Bucket]int64)
	}
	for i, w := range windows {
		k.fullAt[w] = fullAt[i]
	}
}

func (k *known) forget(windows []ratelimit.Bucket) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range windows {
		delete(k.fullAt, w)
	}
}
