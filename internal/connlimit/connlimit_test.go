package connlimit_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/internal/connlimit"
)

const most = 4

// client is a connection to a server.
type client struct {
	t *testing.T
	net.Conn
	in   *bufio.Reader
	idle <-chan struct{} // has a value for each connection of the server that has become idle
}

// serve starts a server, which answers /wait once answer is closed. It answers 499 to a request that is canceled.
func serve(t *testing.T) (connect func() client, entered, answer chan struct{}, logged func() string) {
	var out bytes.Buffer
	entered, answer = make(chan struct{}), make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-answer
		}
		if r.Context().Err() != nil {
			w.WriteHeader(499)
		}
		if r.URL.Path != "/unread" {
			_, _ = io.Copy(w, r.Body)
		}
	}))
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	s.Listener = connlimit.Apply(s.Config, s.Listener, most)
	track, idle := s.Config.ConnState, make(chan struct{}, 1000)
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		track(c, state)
		if state == http.StateIdle {
			idle <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return func() client {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		return client{t, conn, bufio.NewReader(conn), idle}
	}, entered, answer, func() string { s.Close(); return out.String() }
}

func (c client) send(text string) client {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// status returns the status of the next answer; 0 if the server has closed the connection.
func (c client) status() int {
	c.t.Helper()
	answer, err := http.ReadResponse(c.in, nil)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("neither an answer nor the end of the connection")
	}
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }

// ask reports whether the connection still serves requests; it is then idle.
func (c client) ask() bool {
	_, _ = io.WriteString(c, get("/")) // fails if the connection is closed, as reading then does
	if c.status() != 200 {
		return false
	}
	<-c.idle
	return true
}

// fault 87: the connection that has waited longest for a request is closed.
func TestClosesTheLongestWaiting(t *testing.T) {
	for name, tt := range map[string]struct {
		act    func(i int, c client, entered, answer chan struct{}) // on each of the first connections, in order
		again  []int                                                // asked once more
		closed int                                                  // most: the new one
		logged bool
	}{
		"idle":       {func(_ int, c client, _, _ chan struct{}) { c.ask() }, nil, 0, false},
		"used again": {func(_ int, c client, _, _ chan struct{}) { c.ask() }, []int{0, 1}, 2, false},
		"the oldest serves a request": {func(i int, c client, entered, _ chan struct{}) {
			if i == 0 {
				c.send(get("/wait"))
				<-entered
			} else {
				c.ask()
			}
		}, nil, 1, false},
		"a header that does not end": {func(i int, c client, _, _ chan struct{}) {
			if i == 0 {
				c.send("GET / HTTP/1.1\r\nHost: ")
			} else {
				c.ask()
			}
		}, nil, 0, true},
		"a second header that does not end": {func(_ int, c client, _, _ chan struct{}) {
			c.ask()
			c.send("GET / HTTP/1.1\r\nHost: ")
		}, nil, 0, false},
		"all serve requests": {func(_ int, c client, entered, _ chan struct{}) {
			c.send(get("/wait"))
			<-entered
		}, nil, most, true},
	} {
		t.Run(name, func(t *testing.T) {
			connect, entered, answer, logged := serve(t)
			var clients []client
			for i := range most {
				c := connect()
				tt.act(i, c, entered, answer)
				clients = append(clients, c)
			}
			for _, i := range tt.again {
				clients[i].ask()
			}
			last := connect()
			clients = append(clients, last)
			if served := last.ask(); served != (tt.closed != most) {
				t.Errorf("the new connection is served: %t", served)
			}
			if clients[tt.closed].status() != 0 {
				t.Errorf("connection %d is open", tt.closed)
			}
			if tt.closed == most && connect().ask() {
				t.Error("another new connection is served")
			}
			close(answer)
			if lines := strings.Count(logged(), `msg="new connections closed" connections=4`); lines > 1 || (lines == 1) != tt.logged {
				t.Errorf("logged %d times", lines)
			}
		})
	}
}

// fault 87: of many connections, as many as there may be stay open.
func TestKeepsTheMost(t *testing.T) {
	connect, _, _, _ := serve(t)
	var clients []client
	for range 10 * most {
		c := connect()
		if !c.ask() {
			t.Fatal("a new connection is not served")
		}
		clients = append(clients, c)
	}
	for i, c := range clients {
		if open, want := c.ask(), i >= len(clients)-most; open != want {
			t.Errorf("connection %d is open: %t", i, open)
		}
	}
}

// fault 87: the lines of headers are bounded, not those of bodies.
func TestLines(t *testing.T) {
	header := func(lines int) string {
		var b strings.Builder
		for i := range lines {
			fmt.Fprintf(&b, "X%d: a\r\n", i)
		}
		return b.String()
	}
	var short strings.Builder // fits into one read of net/http
	for i := range 900 {
		fmt.Fprintf(&short, "%c%c:\n", 'a'+i/36, "abcdefghijklmnopqrstuvwxyz0123456789"[i%36])
	}
	body := strings.Repeat("\n", 20_000)
	chunked := func(path string, chunks int, trailer string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\na\r\n", chunks) + "0\r\n" + trailer + "\r\n"
	}
	const refused, closed = 400, 0
	for name, tt := range map[string]struct {
		request string
		want    []int // refused: 400, or 431 by net/http itself since Go 1.27
	}{
		"a hundred":          {"GET / HTTP/1.1\r\nHost: a\r\n" + header(100) + "\r\n", []int{200}},
		"two thousand":       {"GET / HTTP/1.1\r\nHost: a\r\n" + header(2000) + "\r\n", []int{refused}},
		"no end":             {"GET / HTTP/1.1\r\nHost: a\r\n" + header(2000), []int{refused}},
		"short ones":         {"GET / HTTP/1.1\r\nHost: a\r\n" + short.String() + "\n", []int{refused}},
		"behind a body":      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{GET / HTTP/1.1\nHost: a\n" + short.String() + "\n", []int{200, refused}},
		"a body":             {fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body), []int{200}},
		"a body of a second": {get("/") + fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body) + get("/"), []int{200, 200, 200}},
		"a chunked body":     {chunked("/", 50, "") + chunked("/unread", 50, "") + get("/"), []int{200, 200, 200}},
		"a trailer":          {chunked("/", 1, header(20)) + chunked("/unread", 1, header(20)) + get("/"), []int{200, 200, 200}},
		"a long trailer":     {chunked("/", 1, short.String()) + get("/"), []int{200, closed}},
		"an unread one":      {chunked("/unread", 1, short.String()) + get("/"), []int{200, closed}},
		"a second header":    {get("/") + "GET / HTTP/1.1\r\nHost: a\r\n" + header(2000), []int{200, refused}},
		"many requests":      {strings.Repeat(get("/"), 500), slices.Repeat([]int{200}, 500)},
	} {
		t.Run(name, func(t *testing.T) {
			connect, _, _, _ := serve(t)
			c := connect()
			go func() { _, _ = io.WriteString(c, tt.request) }() // the server may stop reading
			for i, want := range tt.want {
				if got := c.status(); got != want && (want != refused || got != 431) {
					t.Errorf("answer %d: %d, want %d", i, got, want)
				}
			}
		})
	}
}

// A body whose last read has more lines than are allowed does not cancel the requests after it, which may be other callers':
// proxies share connections.
func TestRequestsAfterManyLines(t *testing.T) {
	// The lines come with the second read of a kilobyte.
	body := strings.Repeat("x", 1000) + strings.Repeat("\n", 200)
	const chunked = " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	const sized = " HTTP/1.1\r\nHost: a\r\nContent-Length: 1200\r\n\r\n"
	chunk := "4b0\r\n" + body + "\r\n0\r\n\r\n"
	for name, request := range map[string]string{
		"read":                 "POST /" + chunked + chunk,
		"not read":             "DELETE /unread" + chunked + chunk,
		"of a GET":             "GET /" + chunked + chunk,
		"not chunked":          "POST /" + sized + body,
		"answered by net/http": "OPTIONS *" + sized + body,
	} {
		t.Run(name, func(t *testing.T) {
			connect, _, _, _ := serve(t)
			c := connect().send(request)
			for i := range 4 {
				if got := c.status(); got != http.StatusOK {
					t.Fatalf("answer %d: %d", i, got)
				}
				c.send(get("/"))
			}
		})
	}
}
