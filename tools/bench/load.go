//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orga-session/orga-session/tools/fakeorga"
)

// conn is a client's HTTP/1.1 connection.
type conn struct {
	net.Conn
	in *bufio.Reader
}

// answerTimeout fails a measurement if an answer does not arrive.
const answerTimeout = 30 * time.Second

// roundTrip sends a request and returns the body of the answer.
func (c *conn) roundTrip(request []byte) ([]byte, error) {
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// exchange sends a client's request number n, and checks the answer.
type exchange func(c *conn, n int) error

// viaEndpoint mints through an endpoint. Target returns the path and the header lines of request n.
func viaEndpoint(target func(n int) (path, header string)) exchange {
	return func(c *conn, n int) error {
		path, header := target(n)
		body, err := c.roundTrip(fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n%s\r\n", path, c.RemoteAddr(), header))
		if err != nil {
			return err
		}
		return fakeorga.Check(body)
	}
}

// direct makes the two calls itself: no endpoint can be faster.
func direct(c *conn, _ int) error {
	call := func(method, path, bearer string) ([]byte, error) {
		return c.roundTrip(fmt.Appendf(nil, "%s /v1/realtime/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
			method, path, c.RemoteAddr(), bearer))
	}
	minted, err := call("POST", "client-secrets", fakeorga.Key)
	if err != nil {
		return err
	}
	token := fakeorga.Token(minted)
	ice, err := call("GET", "ice-config", token)
	if err != nil {
		return err
	}
	return fakeorga.CheckICE(token, ice)
}

// clients are the connected clients of a measurement. Each sends its next request when its last answer has been checked.
type clients struct {
	conns []*conn
	sent  atomic.Int64
	do    exchange
}

func connect(n int, addr string, do exchange) (*clients, error) {
	c := &clients{do: do}
	for range n {
		socket, err := net.Dial("tcp", addr)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, &conn{Conn: socket, in: bufio.NewReader(socket)})
	}
	return c, nil
}

func (c *clients) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// run sends requests for d, waits for pending answers, and returns the latencies. One failed request fails the run.
func (c *clients) run(d time.Duration) (latencies []time.Duration, elapsed time.Duration, err error) {
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	began := time.Now()
	for _, conn := range c.conns {
		wg.Go(func() {
			var own []time.Duration
			var failed error
			for at := time.Now(); failed == nil && at.Sub(began) < d; {
				failed = c.do(conn, int(c.sent.Add(1)))
				now := time.Now()
				own = append(own, now.Sub(at))
				at = now
			}
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, own...)
			if err == nil {
				err = failed
			}
		})
	}
	wg.Wait()
	if len(latencies) == 0 {
		err = errors.Join(err, errors.New("no request was sent"))
	}
	return latencies, time.Since(began), err
}
