package throttle

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/internal/gcra"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// maxRefusals bounds the table of refusals: 3 MB when full.
const maxRefusals = 1 << 16

// refusals remembers which buckets have refused, and until when. Until then, a bucket cannot have room, whatever other
// instances do. Its size is bounded: when full, it forgets the refusal that ends first among a few random ones.
type refusals struct {
	seed maphash.Seed

	mu    sync.Mutex
	table map[uint64]refusal
}

// refusal has times in microseconds since 1970.
type refusal struct{ until, fullAt int64 }

func newRefusals() refusals {
	return refusals{seed: maphash.MakeSeed(), table: make(map[uint64]refusal)}
}

// find returns the refusal of a request if one of its buckets is known to refuse; nil otherwise.
func (r *refusals) find(buckets []ratelimit.Bucket) []ratelimit.Decision {
	now := time.Now().UnixMicro()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.table) == 0 {
		return nil
	}
	var decisions []ratelimit.Decision
	for i, b := range buckets {
		hash := hashOf(b, r.seed)
		known, ok := r.table[hash]
		wait := known.until - now
		if ok && (wait <= 0 || wait > gcra.New(b.Quota).Share) { // it has ended, or the clock was set back
			delete(r.table, hash)
			ok = false
		}
		if !ok {
			continue
		}
		if decisions == nil {
			decisions = make([]ratelimit.Decision, len(buckets))
			for j := range decisions {
				decisions[j] = ratelimit.Decision{Allowed: true, Remaining: -1}
			}
		}
		decisions[i] = ratelimit.Decision{
			Retry: time.Duration(wait) * time.Microsecond,
			Reset: time.Duration(known.fullAt-now) * time.Microsecond,
		}
	}
	return decisions
}

// remember stores the refusals among decisions.
func (r *refusals) remember(buckets []ratelimit.Bucket, decisions []ratelimit.Decision) {
	now := time.Now().UnixMicro()
	for i, d := range decisions {
		if d.Allowed {
			continue
		}
		r.mu.Lock()
		if len(r.table) >= maxRefusals {
			evict(r.table, func(known refusal) float64 { return float64(known.until) })
		}
		r.table[hashOf(buckets[i], r.seed)] = refusal{now + d.Retry.Microseconds(), now + d.Reset.Microseconds()}
		r.mu.Unlock()
	}
}
