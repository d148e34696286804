// Package wallclock measures time by the wall clock, because the monotonic clock stops while a serverless platform freezes
// the instance.
package wallclock

import "time"

// Now returns the current time without a monotonic reading.
func Now() time.Time { return time.Now().Round(0) }

// Within reports whether the wall clock time then is less than d ago. If the clock was set back to before then, it counts
// as long ago, so that nothing waits for a time that does not come.
func Within(then time.Time, d time.Duration) bool { return WithinAt(Now(), then, d) }

// WithinAt is Within at a given time, for decisions that must agree on it.
func WithinAt(now, then time.Time, d time.Duration) bool {
	since := now.Sub(then)
	return 0 <= since && since < d
}
