// Package gcra holds the arithmetic of every limit: the generic cell rate algorithm, which keeps one time a
// quota. Times and spans are whole microseconds, since Redis counts in doubles and those hold microseconds
// since 1970 exactly.
//
// Memory and DynamoDB call it; the script of Redis (gcra.lua) is its mirror. Package ratelimittest holds all
// of them to the same answers.
package gcra

import (
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
)

// Rate is a quota as spans of time.
type Rate struct {
	Share int64 // what one request uses: the period by the count
	Burst int64 // the whole quota: the count by the share
}

// New makes the Rate of a quota. A share is a microsecond at least.
func New(q ratelimit.Quota) Rate {
	n := max(1, q.N)
	share := max(1, q.Per.Microseconds()/int64(n))
	return Rate{Share: share, Burst: share * int64(n)}
}

// Used is how much of the quota is in use at now, where fullAt is the time at which none will be. A fullAt that
// lies further ahead than the whole quota comes from a clock that was set back since: all is in use then, and
// a store writes down [Rate.Clamp] in its place.
func (r Rate) Used(fullAt, now int64) int64 { return min(max(fullAt-now, 0), r.Burst) }

// Clamp is the latest fullAt that a clock at now can have written.
func (r Rate) Clamp(now int64) int64 { return now + r.Burst }

// HasRoom reports whether one more request fits.
func (r Rate) HasRoom(used int64) bool { return used <= r.Burst-r.Share }

// Decide says what used means for a caller; counted reports whether the request is included.
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
