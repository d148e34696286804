package secrettest

import (
	"net/http"
	"sync"
)

// Fault is a way in which a fake fails.
type Fault int

// The faults.
const (
	Healthy    Fault = iota
	Down             // answers 500
	Hanging          // keeps the connection and does not answer
	Throttling       // answers that there are too many requests
	Denied           // answers that access is denied
	Damaged          // AWS answers with half of its JSON, Google with a wrong checksum
)

// Control counts the requests of a fake and makes them fail. It is safe for concurrent use.
type Control struct {
	mu    sync.Mutex
	calls int
	fault Fault
	left  int
}

// Calls returns the number of authenticated requests so far, failed ones included.
func (c *Control) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Fail makes the next calls fail; with 0, all until the next Fail.
func (c *Control) Fail(f Fault, calls int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.left = f, calls
}

// call counts a call and returns its fault.
func (c *Control) call() Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	f := c.fault
	if c.left > 0 {
		if c.left--; c.left == 0 {
			c.fault = Healthy
		}
	}
	return f
}

// hang returns when the client leaves, which the server notices only after the request's body was read.
func hang(r *http.Request) { <-r.Context().Done() }
