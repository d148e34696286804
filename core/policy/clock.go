package policy

import "time"

// wallClock is now without its monotonic half, which stands still in a frozen instance.
func wallClock() time.Time { return time.Now().Round(0) }

// recently tells whether then, a time of the wall clock, is less than d ago. A clock that was set back
// since makes it long ago, so that nothing waits for a time that does not come.
func recently(then time.Time, d time.Duration) bool {
	since := wallClock().Sub(then)
	return 0 <= since && since < d
}
