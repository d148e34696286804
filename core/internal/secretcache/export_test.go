package secretcache

import "time"

// SetClock replaces the wall clock, for tests that set it back.
func (c *Cache) SetClock(now func() time.Time) { c.now = now }

// Lock locks c, and returns the unlock function.
func (c *Cache) Lock() (unlock func()) {
	c.mu.Lock()
	return c.mu.Unlock
}
