//go:build unix

package connlimit

import (
	"math"
	"syscall"
)

// openFiles returns how many file descriptors the process may have. At its start, Go has raised the limit as far as it may.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:unconvert // FreeBSD's is an int64
}
