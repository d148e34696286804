//go:build unix

package ratelimittest

import "syscall"

// Pause suspends the server: connections stay open, but nothing answers until [Redis.Resume]. It reports whether this
// system supports that.
func (r *Redis) Pause() bool { return r.cmd.Process.Signal(syscall.SIGSTOP) == nil }

// Resume ends a [Redis.Pause].
func (r *Redis) Resume() { _ = r.cmd.Process.Signal(syscall.SIGCONT) } // if this fails, the test notices that nothing answers
