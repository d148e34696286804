package secretcache

import "time"

// SetClock replaces the wall clock, for tests in which it is set back.
func (c *Cache) SetClock(now func() time.Time) { c.now = now }

// Lock takes the lock of c, and returns what releases it.
func (c *Cache) Lock() (unlock func()) {
	c.mu.Lock()
	return c.mu.Unlock
}
