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

// Redirect answers 307 with another address.
func Redirect(to string) http.Handler {
	return Status(http.StatusTemporaryRedirect, "", "Location", to)
}

// Hang never answers; it returns when the client disconnects.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// HangBody answers 200 with half a body, then sends nothing more.
func HangBody() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		half(w)
		<-r.Context().Done()
	})
}

// Truncate answers 200 with half a body, then closes the connection.
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

// Close closes the connection instead of answering.
func Close() http.Handler {
	return raw(func(conn net.Conn, _ *bufio.ReadWriter, _ *http.Request) { _ = conn.Close() })
}

// Reset resets the connection (TCP RST) instead of answering.
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

// Babble answers with text that is not HTTP and repeats the credential, because HTTP libraries quote such text in errors.
func Babble() http.Handler {
	return raw(func(conn net.Conn, rw *bufio.ReadWriter, r *http.Request) {
		_, _ = fmt.Fprintf(rw, "HTTP/1.1 %s\r\n\r\n", r.Header.Get("Authorization"))
		_ = rw.Flush()
		_ = conn.Close()
	})
}

// raw hijacks the connection from net/http; over HTTP/2, it ends the stream instead.
func raw(do func(net.Conn, *bufio.ReadWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		do(conn, rw, r)
	})
}

// Upgrade answers 101, and then sends nothing on the open connection.
func Upgrade() http.Handler {
	return raw(func(conn net.Conn, rw *bufio.ReadWriter, _ *http.Request) {
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(io.Discard, conn) // until the client disconnects
		_ = conn.Close()
	})
}

// Repeat answers with a status and an error that repeats the caller's credential wherever a client might print it:
// message, code, type, headers.
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

// Content of Flood and GzipBomb: JSON with this many bytes of padding.
const (
	flood     = 100 << 20
	floodHead = `{"ephemeral_token":"t","iceServers":[],"padding":"`
	floodTail = `"}`
)

// Flood answers 200 and streams 100 MB, or until the client disconnects.
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

// GzipBomb is Flood, compressed to about 100 kB of gzip.
func GzipBomb() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb()) // the client should have disconnected
	})
}

// bomb is a sequence of gzip members, so that the padding is compressed only once.
var bomb = sync.OnceValue(func() []byte {
	const chunk = 1 << 20
	return slices.Concat(zipped(floodHead), bytes.Repeat(zipped(strings.Repeat("x", chunk)), flood/chunk), zipped(floodTail))
})

func zipped(s string) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, _ = io.WriteString(zip, s) // a Buffer never fails
	_ = zip.Close()
	return out.Bytes()
}
