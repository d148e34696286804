//go:build !unix

package connlimit

import "math"

// openFiles returns how many handles the process may have, of which there is no limit here that matters.
func openFiles() int { return math.MaxInt }
