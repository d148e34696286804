//go:build !unix

package ratelimittest

// Pause suspends the server: connections stay open, but nothing answers until [Redis.Resume]. It reports whether this
// system supports that.
func (r *Redis) Pause() bool { return false }

// Resume ends a [Redis.Pause].
func (r *Redis) Resume() {}
