//go:build !unix

package ratelimittest

// Pause stops the server: connections stay open, and nothing answers. [Redis.Resume] lets it go on. It reports whether
// this system can do that.
func (r *Redis) Pause() bool { return false }

// Resume ends a [Redis.Pause].
func (r *Redis) Resume() {}
