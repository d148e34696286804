// Package load is a closed-loop load generator on bare sockets: so many clients, each on a connection
// of its own, each sending its next request when the answer to the last one is there and checked.
package load

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/orga-session/orga-session/tools/bench/stats"
)

// Exchange is what a client does for one request, and the number of the request among its own.
type Exchange func(c *Conn, n int) error

// Clients are the connected clients of a measurement.
type Clients struct {
	conns []*Conn
	next  []int
	do    Exchange
}

// Result is what a run saw.
type Result struct {
	Requests  int
	Elapsed   time.Duration
	latencies []time.Duration // sorted
}

// Connect opens n connections with dial.
func Connect(n int, dial func() (*Conn, error), do Exchange) (*Clients, error) {
	c := &Clients{next: make([]int, n), do: do}
	for range n {
		conn, err := dial()
		if err != nil {
			c.Close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

// Close closes the connections.
func (c *Clients) Close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// Run sends requests for d, and then waits for the answers that are due. It fails with the first
// client that fails: a measurement with errors in it measures something else.
func (c *Clients) Run(d time.Duration) (Result, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   Result
		fails []error
	)
	began := time.Now()
	for i, conn := range c.conns {
		wg.Go(func() {
			var latencies []time.Duration
			var err error
			for at := time.Now(); err == nil && at.Sub(began) < d; {
				err = c.do(conn, i+c.next[i]*len(c.conns))
				c.next[i]++
				now := time.Now()
				latencies = append(latencies, now.Sub(at))
				at = now
			}
			mu.Lock()
			defer mu.Unlock()
			all.latencies = append(all.latencies, latencies...)
			if err != nil {
				fails = append(fails, err)
			}
		})
	}
	wg.Wait()
	all.Elapsed = time.Since(began)
	all.Requests = len(all.latencies)
	slices.Sort(all.latencies)
	return all, errors.Join(fails[:min(1, len(fails))]...)
}

// Rate is requests a second.
func (r Result) Rate() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// Latency is a quantile of the latencies.
func (r Result) Latency(q float64) time.Duration {
	return time.Duration(stats.Quantile(r.latencies, q))
}
