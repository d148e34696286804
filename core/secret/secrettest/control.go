package secrettest

import (
	"net/http"
	"sync"
)

// Fault is a way for a fake to fail.
type Fault int

// Faults of a fake.
const (
	Healthy    Fault = iota
	Down             // answers 500
	Hanging          // keeps the connection open, but does not answer
	Throttling       // answers too many requests
	Denied           // answers access denied
	Damaged          // AWS: half of the JSON; Google: a wrong checksum
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

// Fail makes the next calls fail; with 0, all calls until the next Fail.
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

// hang returns when the client disconnects, which the server notices only after reading the request's body.
func hang(r *http.Request) { <-r.Context().Done() }
