// Package wallclock measures time by the wall clock. Serverless platforms freeze instances, and a
// monotonic clock stands still in a frozen one.
package wallclock

import "time"

// Now is the time without its monotonic half.
func Now() time.Time { return time.Now().Round(0) }

// Within reports whether then, a time of the wall clock, is less than d ago. A clock that was set back
// since makes it long ago, so that nothing waits for a time that does not come.
func Within(then time.Time, d time.Duration) bool { return WithinAt(Now(), then, d) }

// WithinAt is Within at the time now, for decisions that must agree on the time.
func WithinAt(now, then time.Time, d time.Duration) bool {
	since := now.Sub(then)
	return 0 <= since && since < d
}
