//go:build unix

package ratelimittest

import "syscall"

// Pause stops the server: connections stay open, and nothing answers. [Redis.Resume] lets it go on. It reports whether
// this system can do that.
func (r *Redis) Pause() bool { return r.cmd.Process.Signal(syscall.SIGSTOP) == nil }

// Resume ends a [Redis.Pause].
func (r *Redis) Resume() { _ = r.cmd.Process.Signal(syscall.SIGCONT) } // a test that needs it sees that nothing answers
