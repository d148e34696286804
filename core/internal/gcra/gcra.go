// Package gcra implements the generic cell rate algorithm, which keeps one time per quota. Times and durations are whole
// microseconds, because Redis computes in doubles, which represent microseconds since 1970 exactly.
//
// Memory and DynamoDB call it; the Redis script (gcra.lua) mirrors it. Package ratelimittest requires the same results
// from all of them.
package gcra

import (
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// Rate is a quota in microseconds.
type Rate struct {
	Share int64 // used by one request: the period divided by the count
	Burst int64 // the whole quota: the count times the share
}

// New returns the Rate of a quota. A share is at least a microsecond.
func New(q ratelimit.Quota) Rate {
	n := max(1, q.N)
	share := max(1, q.Per.Microseconds()/int64(n))
	return Rate{Share: share, Burst: share * int64(n)}
}

// Used returns how much of the quota is in use at now; fullAt is when none will be. A fullAt beyond the whole quota comes
// from a clock that was set back since: then all is in use, and a store replaces fullAt with [Rate.Clamp].
func (r Rate) Used(fullAt, now int64) int64 { return min(max(fullAt-now, 0), r.Burst) }

// Clamp returns the latest fullAt that a correct clock can have produced by now.
func (r Rate) Clamp(now int64) int64 { return now + r.Burst }

// HasRoom reports whether another request fits.
func (r Rate) HasRoom(used int64) bool { return used <= r.Burst-r.Share }

// Decide returns the decision for a bucket with used in use; counted reports whether that includes the request.
func (r Rate) Decide(used int64, counted bool) ratelimit.Decision {
	d := ratelimit.Decision{
		Allowed:   counted || r.HasRoom(used),
		Remaining: int((r.Burst - used) / r.Share),
		Reset:     time.Duration(used) * time.Microsecond,
	}
	if !d.Allowed {
		d.Retry = time.Duration(used+r.Share-r.Burst) * time.Microsecond
	}
	return d
}
