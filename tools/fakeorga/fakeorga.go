// Package fakeorga is an Orga API for load tests. It works on bare sockets, because at their rates net/http would
// use more CPU than the endpoint under test. It fails on demand.
package fakeorga

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Key is a permanent key for tests with one caller. Every key that begins with [KeyPrefix] is accepted.
const Key = KeyPrefix + "load"

// KeyPrefix begins every key that the API accepts.
const KeyPrefix = "sk_orga_ai_test-"

// Options configure an API. The zero value answers every call at once, over plain HTTP.
type Options struct {
	Certificate *tls.Certificate // serves HTTPS
	// Fault chooses what happens to a call, concurrently with other calls. Nil means no faults.
	Fault func(Call) Fault
}

// Call is a request that the API received.
type Call struct {
	Mint bool   // the ICE call otherwise
	Key  string // the permanent key; for an ICE call, the key its token was minted with
}

// Fault is what happens to a call instead of an answer.
type Fault int

// The faults.
const (
	None        Fault = iota
	Unavailable       // status 503
	Reset             // a TCP reset
	Hang              // no answer until the client hangs up
)

// API is a running Orga API. It is safe for concurrent use.
type API struct {
	Addr string // host:port
	URL  string

	options  Options
	listener net.Listener
	delay    atomic.Int64
	calls    atomic.Uint64
	minted   atomic.Uint64

	mu     sync.Mutex
	conns  map[net.Conn]bool
	opened int
}

// Start serves on a free port of 127.0.0.1.
func Start(options Options) (*API, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := listener.Addr().String()
	a := &API{Addr: addr, URL: "http://" + addr, options: options, listener: listener, conns: make(map[net.Conn]bool)}
	if options.Certificate != nil {
		a.URL = "https://" + addr
	}
	go a.accept()
	return a, nil
}

// SetDelay makes each answer to the calls that follow wait.
func (a *API) SetDelay(d time.Duration) { a.delay.Store(int64(d)) }

// Calls returns the number of calls received.
func (a *API) Calls() uint64 { return a.calls.Load() }

// Opened returns the number of connections accepted.
func (a *API) Opened() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.opened
}

// CloseConnections closes all connections as a load balancer closes idle ones, or resets them.
func (a *API) CloseConnections(reset bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for conn := range a.conns {
		if reset {
			resetOnClose(conn)
		}
		_ = conn.Close()
	}
}

// Close stops the API and closes its connections.
func (a *API) Close() {
	_ = a.listener.Close()
	a.CloseConnections(false)
}

func (a *API) accept() {
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		a.conns[conn] = true
		a.opened++
		a.mu.Unlock()
		go func() {
			_ = a.serve(conn) // the client sees what went wrong
			a.mu.Lock()
			delete(a.conns, conn)
			a.mu.Unlock()
			_ = conn.Close()
		}()
	}
}

func resetOnClose(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func (a *API) serve(socket net.Conn) error {
	conn := socket
	if a.options.Certificate != nil {
		conn = tls.Server(socket, &tls.Config{Certificates: []tls.Certificate{*a.options.Certificate}, MinVersion: tls.VersionTLS12})
	}
	in, out := bufio.NewReader(conn), make([]byte, 0, 2048)
	for {
		r, err := http.ReadRequest(in) // neither call has a body
		if err != nil {
			return err
		}
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		a.calls.Add(1)
		if d := time.Duration(a.delay.Load()); d > 0 {
			time.Sleep(d)
		}
		call, known := parse(r.Method+" "+r.URL.Path, bearer)
		fault := None
		if known && a.options.Fault != nil {
			fault = a.options.Fault(call)
		}
		switch {
		case fault == Reset:
			resetOnClose(socket)
			return nil
		case fault == Hang:
			_, err := io.Copy(io.Discard, in)
			return err
		case fault == Unavailable:
			out = append(out[:0], "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"...)
		case !known:
			out = append(out[:0], "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"...)
		case call.Mint:
			out = appendToken(out[:0], a.minted.Add(1), call.Key)
		default:
			out = appendICE(out[:0], numberOf(bearer, tokenPrefix))
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

// A token is ephemeral-NUMBER.KEY.TAIL: its number comes back in the ICE credential, so that an answer
// can be checked ([Check]), and its key says whose the ICE call is.
const (
	tokenPrefix      = "ephemeral-"
	credentialPrefix = "turn-of-"
	numberLen        = 16
)

// tokenTail brings a token to the length of a JWT.
var tokenTail = "." + strings.Repeat("0123456789abcdef", 15)

// parse reports false for a call that Orga would refuse.
func parse(line, bearer string) (Call, bool) {
	switch line {
	case "POST /v1/realtime/client-secrets":
		return Call{Mint: true, Key: bearer}, strings.HasPrefix(bearer, KeyPrefix)
	case "GET /v1/realtime/ice-config":
		number := numberOf(bearer, tokenPrefix)
		key, ok := strings.CutSuffix(strings.TrimPrefix(bearer, tokenPrefix+number+"."), tokenTail)
		return Call{Key: KeyPrefix + key}, ok && number != ""
	}
	return Call{}, false
}

func appendToken(b []byte, number uint64, key string) []byte {
	return appendOK(b, fmt.Appendf(nil, `{"ephemeral_token":"%s%016x.%s%s","token_type":"bearer","expires_at":"%s"}`,
		tokenPrefix, number, strings.TrimPrefix(key, KeyPrefix), tokenTail, time.Now().Add(2*time.Minute).UTC().Format(time.RFC3339)))
}

func appendICE(b []byte, number string) []byte {
	return appendOK(b, fmt.Appendf(nil, `{"iceServers":[{"urls":"stun:stun.example.com:3478"},`+
		`{"urls":["turn:turn.example.com:3478?transport=udp","turns:turn.example.com:5349?transport=tcp"],`+
		`"username":"1795000000:load","credential":"%s%s"}]}`, credentialPrefix, number))
}

func appendOK(b, body []byte) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// Check returns an error unless an endpoint's answer has a token of this API and the ICE credential that
// was issued for that very token. It searches instead of parsing JSON, to leave the CPU to the test.
func Check(answer []byte) error {
	return CheckICE(textAfter(answer, `"ephemeralToken":"`), answer)
}

// CheckICE is [Check] for a client that makes the two calls itself: it has the token, from [Token], and
// the answer to the ICE call.
func CheckICE(token string, ice []byte) error {
	number := numberOf(token, tokenPrefix)
	if number == "" {
		return errors.New("fakeorga: no token in the answer")
	}
	if numberOf(textAfter(ice, `"credential":"`), credentialPrefix) != number {
		return errors.New("fakeorga: the ICE credential belongs to another token")
	}
	return nil
}

// Token returns the token of an answer to a mint, "" if there is none.
func Token(answer []byte) string { return textAfter(answer, `"ephemeral_token":"`) }

// textAfter returns the JSON string after prefix, "" if there is none.
func textAfter(body []byte, prefix string) string {
	_, rest, _ := bytes.Cut(body, []byte(prefix))
	text, _, ok := bytes.Cut(rest, []byte{'"'})
	if !ok {
		return ""
	}
	return string(text)
}

// numberOf returns the number in a token or a credential, "" if it is not one of this API.
func numberOf(text, prefix string) string {
	number, ok := strings.CutPrefix(text, prefix)
	if !ok || len(number) < numberLen {
		return ""
	}
	return number[:numberLen]
}
