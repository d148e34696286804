// Package standin has what the processes under test call: an Orga API with a fixed delay, a Secrets
// Manager, and an issuer of callers' tokens. They run in the load generator's process, on its core.
//
// The Orga API is written on bare sockets: at the rates that are measured, net/http would need more of
// that core than the peer needs of its own, and the peer would be waiting.
package standin

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/orga-session/orga-session/tools/bench/stats"
)

// APIKey is the permanent key that the stand-in knows.
const APIKey = "sk_orga_ai_test_of_the_benchmark"

// Orga is an Orga API. It is safe for concurrent use.
type Orga struct {
	URL string

	delay    time.Duration
	listener net.Listener

	mu     sync.Mutex
	conns  map[net.Conn]bool
	opened int
	minted uint64
	held   []time.Duration
}

// StartOrga serves on 127.0.0.1, over TLS where certificate is given. Each answer waits for delay.
func StartOrga(delay time.Duration, certificate *tls.Certificate) (*Orga, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &Orga{URL: "http://" + listener.Addr().String(), delay: delay, listener: listener, conns: make(map[net.Conn]bool)}
	if certificate != nil {
		o.URL = "https://" + listener.Addr().String()
		o.listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*certificate}})
	}
	go o.accept()
	return o, nil
}

// Close ends the API and its connections.
func (o *Orga) Close() {
	_ = o.listener.Close()
	o.CloseConnections()
}

// CloseConnections closes all connections, as a load balancer does with those that idle.
func (o *Orga) CloseConnections() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for conn := range o.conns {
		_ = conn.Close()
	}
}

// Opened counts the connections that were opened since the start.
func (o *Orga) Opened() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.opened
}

// Held is the median of the delays that were really kept since it was last asked: a sleep ends late.
func (o *Orga) Held() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	held := o.held
	o.held = nil
	if len(held) == 0 {
		return 0
	}
	slices.Sort(held)
	return time.Duration(stats.Quantile(held, 0.5))
}

func (o *Orga) accept() {
	for {
		conn, err := o.listener.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		o.conns[conn] = true
		o.opened++
		o.mu.Unlock()
		go func() {
			_ = o.serve(conn) // the peer sees what is wrong
			_ = conn.Close()
			o.mu.Lock()
			delete(o.conns, conn)
			o.mu.Unlock()
		}()
	}
}

func (o *Orga) serve(conn net.Conn) error {
	in := bufio.NewReader(conn)
	out := make([]byte, 0, 2048)
	for {
		call, bearer, err := readRequest(in)
		if err != nil {
			return err
		}
		began := time.Now()
		if o.delay > 0 {
			time.Sleep(o.delay)
		}
		o.mu.Lock()
		if o.delay > 0 {
			o.held = append(o.held, time.Since(began))
		}
		o.minted++
		number := o.minted
		o.mu.Unlock()
		if _, err := conn.Write(answer(out[:0], call, bearer, number)); err != nil {
			return err
		}
	}
}

// readRequest reads a request, whose body must be empty, as those of both calls are.
func readRequest(in *bufio.Reader) (call, bearer string, err error) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", "", err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 && call != "" {
			return call, bearer, nil
		}
		if call == "" {
			call = strings.TrimSuffix(string(line), " HTTP/1.1")
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("authorization")):
			bearer = strings.TrimPrefix(string(value), "Bearer ")
		case bytes.EqualFold(name, []byte("content-length")) && string(value) != "0", bytes.EqualFold(name, []byte("transfer-encoding")):
			return "", "", errors.New("neither call has a body")
		}
	}
}

const (
	mint = "POST /v1/realtime/client-secrets"
	ice  = "GET /v1/realtime/ice-config"

	tokenPrefix      = "ephemeral-"
	credentialPrefix = "turn-of-"
	numberLen        = 16
)

// tokenTail brings a token to the length of a JWT.
var tokenTail = "." + strings.Repeat("0123456789abcdef", 15)

// answer appends the whole answer to one call.
func answer(b []byte, call, bearer string, number uint64) []byte {
	var body []byte
	switch {
	case call == mint && bearer == APIKey:
		expires := time.Now().Add(2 * time.Minute).UTC().Format(time.RFC3339)
		body = fmt.Appendf(nil, `{"ephemeral_token":"%s%016x%s","token_type":"bearer","expires_at":"%s"}`,
			tokenPrefix, number, tokenTail, expires)
	case call == ice && numberOf(bearer, tokenPrefix) != "":
		body = fmt.Appendf(nil, `{"iceServers":[{"urls":"stun:stun.example.com:3478"},`+
			`{"urls":["turn:turn.example.com:3478?transport=udp","turns:turn.example.com:5349?transport=tcp"],`+
			`"username":"1795000000:bench","credential":"%s%s"}]}`, credentialPrefix, numberOf(bearer, tokenPrefix))
	default:
		return append(b, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"...)
	}
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}
