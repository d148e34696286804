//go:build !unix

package secret

// nonblock is not needed: opening a file never waits for a writer here.
const nonblock = 0
