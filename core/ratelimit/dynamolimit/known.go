package dynamolimit

import (
	"sync"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// maxKnown bounds what is remembered: 1 MB at most.
const maxKnown = 1 << 12

// known remembers what buckets held when this instance saw them last. It saves the update that would fail for a
// wrong guess: of a tenant's budget, which is nearly always in use, and of callers who come back. It decides
// nothing.
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
