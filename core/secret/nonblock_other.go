//go:build !unix

package secret

// nonblock is not needed: no opening waits for a writer here.
const nonblock = 0
