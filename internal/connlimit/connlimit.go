// Package connlimit bounds what the clients of an HTTP server can take of its memory and file descriptors: the number of
// connections, the lines in a request's header (one of many short lines takes 20 times its size), and the time for a body.
package connlimit

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxLines is the maximum number of lines in a request's header, and in a chunked body with its trailer, which net/http parses
// like a header; up to maxRead bytes of further ones may be read with the last. Since Go 1.27, net/http itself allows 500 in
// a header.
const maxLines = 128

// maxRead is the number of bytes that the server reads at once. net/http's buffer would take 4 KiB, in which a thousand more
// lines can end a header, or follow a body, without another read that could be refused.
const maxRead = 1024

// bodyTimeout is the time for a request's body, unless the handler sets another read deadline. net/http would wait indefinitely
// for the body of a request that it answers itself: "OPTIONS *", or an unknown Expect.
const bodyTimeout = time.Second

var errLines = errors.New("too many lines in a header")

// Apply sets the server's ConnState and ConnContext, wraps its Handler, and returns the listener for it to serve.
//
// Whenever there are more than most connections, it closes the one that has waited longest for a request: an idle one, or one
// whose request has not arrived completely. If all others are serving requests, that is the new connection. If the closed one
// has served no request, a line in the log ([slog.Default]) says so, once a minute. At most half of the process's file
// descriptors are used, because a request may need another one for a connection to Orga.
//
// The handler must set a read deadline for the bodies that it reads; they have a second otherwise.
func Apply(server *http.Server, l net.Listener, most int) net.Listener {
	server.ConnState = (&limiter{most: min(most, openFiles()/2), open: make(map[net.Conn]*list.Element)}).track
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength >= 0 { // a body without a trailer may have any number of lines
			r.Context().Value(connKey{}).(*conn).lines.Store(math.MaxInt64)
		}
		handler.ServeHTTP(w, r)
	})
	return listener{l}
}

type connKey struct{}

type limiter struct {
	most int

	mu      sync.Mutex
	open    map[net.Conn]*list.Element // nil while the connection serves a request
	waiting list.List                  // connections without a request, longest first
	logged  time.Time
}

func (l *limiter) track(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.open[c]; e != nil {
		l.waiting.Remove(e)
	}
	counted, _ := c.(*conn)
	switch state {
	case http.StateNew, http.StateIdle:
		counted.lines.Store(maxLines)
		l.open[c] = l.waiting.PushBack(counted)
	case http.StateActive:
		counted.lines.Store(maxLines)
		counted.served = true
		_ = c.SetReadDeadline(time.Now().Add(bodyTimeout))
		l.open[c] = nil
	default:
		delete(l.open, c)
	}
	if len(l.open) > l.most && l.waiting.Len() > 0 {
		longest, _ := l.waiting.Remove(l.waiting.Front()).(*conn)
		delete(l.open, longest)
		_ = longest.Close() // the server's next read fails, and it forgets the connection
		if !longest.served && time.Since(l.logged) > time.Minute {
			l.logged = time.Now()
			slog.Default().Warn("new connections closed", "connections", l.most)
		}
	}
}

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// conn counts the lines that the server reads from it.
type conn struct {
	net.Conn
	lines  atomic.Int64 // that may still be read
	served bool         // a request; guarded by the limiter's mu
}

func (c *conn) Read(p []byte) (int, error) {
	// While net/http serves a request, it reads one byte to notice when the client disconnects. An error would cancel this request
	// and all later ones on the connection.
	if c.lines.Load() < 0 && len(p) > 1 {
		return 0, errLines // the server answers 400
	}
	n, err := c.Conn.Read(p[:min(len(p), maxRead)])
	c.lines.Add(-int64(bytes.Count(p[:n], []byte("\n"))))
	return n, err
}

// CloseWrite lets the server end a connection without losing the answer.
func (c *conn) CloseWrite() error {
	if c, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
