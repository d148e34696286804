package orgatest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Status answers with a status, a body and headers (name, value, name, value …).
func Status(status int, body string, headers ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if strings.HasPrefix(body, "<") {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		} else {
			w.Header().Set("Content-Type", "application/json")
		}
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// HTML answers 200 with a web page.
func HTML() http.Handler { return Status(http.StatusOK, htmlPage) }

// Redirect answers 307 with another address for the same request.
func Redirect(to string) http.Handler {
	return Status(http.StatusTemporaryRedirect, "", "Location", to)
}

// Hang never answers; it returns when the client has gone away.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// HangBody answers 200 and half a body, and then nothing more.
func HangBody() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		half(w)
		<-r.Context().Done()
	})
}

// Truncate answers 200 and half a body, and closes the connection.
func Truncate() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		half(w)
		panic(http.ErrAbortHandler)
	})
}

func half(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "400")
	_, _ = io.WriteString(w, `{"ephemeral_token":"`)
	_ = http.NewResponseController(w).Flush()
}

// Close closes the connection in place of an answer.
func Close() http.Handler {
	return raw(func(conn net.Conn, _ *bufio.ReadWriter, _ *http.Request) { _ = conn.Close() })
}

// Reset resets the connection (TCP RST) in place of an answer.
func Reset() http.Handler {
	return raw(func(conn net.Conn, _ *bufio.ReadWriter, _ *http.Request) {
		under := conn
		if secure, ok := conn.(*tls.Conn); ok {
			under = secure.NetConn()
		}
		if tcp, ok := under.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = under.Close()
	})
}

// Babble answers with something that is not HTTP and repeats the credential: a client's HTTP library
// would quote it.
func Babble() http.Handler {
	return raw(func(conn net.Conn, rw *bufio.ReadWriter, r *http.Request) {
		_, _ = fmt.Fprintf(rw, "HTTP/1.1 %s\r\n\r\n", r.Header.Get("Authorization"))
		_ = rw.Flush()
		_ = conn.Close()
	})
}

// raw takes the connection away from net/http; over HTTP/2 it ends the stream instead.
func raw(do func(net.Conn, *bufio.ReadWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		do(conn, rw, r)
	})
}

// Upgrade answers 101, and says nothing more on a connection that stays open.
func Upgrade() http.Handler {
	return raw(func(conn net.Conn, rw *bufio.ReadWriter, _ *http.Request) {
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(io.Discard, conn) // until the client leaves
		_ = conn.Close()
	})
}

// Repeat answers with a status and an error that repeats the caller's credential in every place that a
// client might print: message, code, type, headers.
func Repeat(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		credential := bearer(r)
		h := w.Header()
		h.Set("WWW-Authenticate", `Bearer error="`+credential+`"`)
		h.Set("X-Request-Id", credential)
		h.Set("Retry-After", credential)
		h.Set("Location", "/"+credential)
		h.Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"message":%q,"type":%q,"param":%q,"code":%q},"detail":%q}`,
			"the key "+credential+" is not valid", credential, credential, credential, credential)
	})
}

// What Flood and GzipBomb hold: JSON with so many bytes of padding.
const (
	flood     = 100 << 20
	floodHead = `{"ephemeral_token":"t","iceServers":[],"padding":"`
	floodTail = `"}`
)

// Flood answers 200 and streams 100 MB, until the client has gone away.
func Flood() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, floodHead)
		for chunk, n := strings.Repeat("x", 64<<10), 0; err == nil && n < flood; n += len(chunk) {
			_, err = io.WriteString(w, chunk)
		}
		_, _ = io.WriteString(w, floodTail)
	})
}

// GzipBomb is Flood in about 100 kB of gzip.
func GzipBomb() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb()) // the client may be gone, as it should be
	})
}

// bomb is made of gzip members, which may follow one another: the padding is compressed once.
var bomb = sync.OnceValue(func() []byte {
	const chunk = 1 << 20
	return slices.Concat(zipped(floodHead), bytes.Repeat(zipped(strings.Repeat("x", chunk)), flood/chunk), zipped(floodTail))
})

func zipped(s string) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, _ = io.WriteString(zip, s) // a Buffer takes all
	_ = zip.Close()
	return out.Bytes()
}

// Padded answers 200 with a body of exactly size bytes: JSON in front, spaces behind.
func Padded(body string, size int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = io.WriteString(w, body+strings.Repeat(" ", size-len(body)))
	})
}
