package secret

import "time"

// SetClock replaces the wall clock, for tests in which it is set back.
func (c *Cache) SetClock(now func() time.Time) { c.now = now }

// The sources of env: and file: before their content is decoded.
var (
	Env  = envSource
	File = fileSource
)
