package secrettest

import (
	"net/http"
	"sync"
)

// Fault is a way in which a store breaks.
type Fault int

// The faults.
const (
	Healthy    Fault = iota
	Down             // answers 500
	Hanging          // does not answer, and keeps the connection
	Throttling       // answers that there are too many calls
	Denied           // answers that the caller may not read the secret
	Damaged          // answers with something broken: AWS with half of its JSON, Google with a wrong checksum
)

// Control is a double's other side: it counts and breaks. It is safe for concurrent use.
type Control struct {
	mu    sync.Mutex
	calls int
	fault Fault
	left  int
}

// Calls counts the requests so far for a secret, those that failed among them.
func (c *Control) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Fail breaks the next calls, or with 0 all that come until the next Fail.
func (c *Control) Fail(f Fault, calls int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.left = f, calls
}

// call counts a call and says how it fails.
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

// hang keeps a caller waiting until it leaves. The request's body must have been read: only then does
// the server see that.
func hang(r *http.Request) { <-r.Context().Done() }
