package canary

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // required by STUN
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // required by STUN
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/internal/neterror"
)

// turnTimeout is the timeout for one TURN server, as in browsers.
const turnTimeout = 5 * time.Second

// maxServers bounds the number of TURN servers; browsers advise against more than four.
const maxServers = 16

// allocate requests a relayed address from the TURN servers of a list, at most the first 16. It returns the addresses of
// those that granted one, and of those that did not, with the reasons.
func allocate(ctx context.Context, list []orga.ICEServer) (relays, failures []string) {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	asked := 0
	for _, entry := range list {
		username, credential := entry.Credential()
		for _, address := range entry.URLs() {
			server, ok := parseTURN(address)
			if !ok || len(address) > 300 || asked == maxServers {
				continue
			}
			asked++
			wg.Go(func() {
				err := server.allocate(ctx, username, credential)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failures = append(failures, address+": "+err.Error())
					return
				}
				relays = append(relays, address)
			})
		}
	}
	wg.Wait()
	return relays, failures
}

// turnServer is an address of a kind that browsers use: TURN over UDP, TCP or TLS.
type turnServer struct {
	network string // udp or tcp
	host    string // host:port
	secure  bool
}

// parseTURN parses turn:HOST[:PORT][?transport=udp|tcp] and turns:… (RFC 7065). ok is false for STUN, and for TLS over UDP,
// which browsers do not use.
func parseTURN(address string) (s turnServer, ok bool) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "turn" && u.Scheme != "turns" {
		return s, false
	}
	s = turnServer{network: "udp", secure: u.Scheme == "turns"}
	port := "3478"
	if s.secure {
		s.network, port = "tcp", "5349"
	}
	if transport := u.Query().Get("transport"); transport != "" {
		s.network = transport
	}
	host, err := url.Parse("turn://" + u.Opaque)
	if err != nil || host.Hostname() == "" || s.network != "tcp" && (s.network != "udp" || s.secure) {
		return s, false
	}
	if host.Port() != "" {
		port = host.Port()
	}
	s.host = net.JoinHostPort(host.Hostname(), port)
	return s, true
}

// Message types and attributes of STUN and TURN (RFC 8489, RFC 8656).
const (
	allocateRequest = 0x0003
	refreshRequest  = 0x0004
	successClass    = 0x0100
	errorClass      = 0x0110

	attrUsername  = 0x0006
	attrIntegrity = 0x0008
	attrError     = 0x0009
	attrLifetime  = 0x000d
	attrRealm     = 0x0014
	attrNonce     = 0x0015
	attrRelayed   = 0x0016
	attrTransport = 0x0019

	magicCookie = 0x2112a442
	headerSize  = 20
)

// allocate requests a relayed address and releases it. Its error is the server's refusal, or why there was no answer.
func (s turnServer) allocate(ctx context.Context, username, credential string) error {
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = new(net.Dialer)
	if s.secure {
		dialer = new(tls.Dialer)
	}
	conn, err := dialer.DialContext(ctx, s.network, s.host)
	if err != nil {
		return neterror.Describe(err) // crypto/x509 quotes certificates
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()

	transport := attribute{attrTransport, []byte{17, 0, 0, 0}} // the relay's transport is always UDP
	answer, err := s.ask(ctx, conn, newMessage(allocateRequest, transport))
	var key []byte
	var login []attribute
	for range 2 { // again if the nonce has just expired
		if err != nil || answer.code() != 401 && answer.code() != 438 {
			break
		}
		realm, nonce := answer.get(attrRealm), answer.get(attrNonce)
		sum := md5.Sum([]byte(username + ":" + string(realm) + ":" + credential)) //nolint:gosec // required by STUN
		key, login = sum[:], []attribute{{attrUsername, []byte(username)}, {attrRealm, realm}, {attrNonce, nonce}}
		answer, err = s.ask(ctx, conn, newMessage(allocateRequest, append([]attribute{transport}, login...)...).sign(key))
		if err == nil && answer.code() == 401 {
			return errors.New("it refuses the credential")
		}
	}
	switch {
	case err != nil:
		return err
	case answer.kind == allocateRequest|errorClass:
		return fmt.Errorf("error %d", answer.code())
	case answer.kind != allocateRequest|successClass || answer.get(attrRelayed) == nil:
		return errNoTURN
	}
	// A lifetime of 0 releases the address immediately; otherwise the server would keep it for ten minutes.
	_, _ = conn.Write(newMessage(refreshRequest, append([]attribute{{attrLifetime, make([]byte, 4)}}, login...)...).sign(key).bytes())
	return nil
}

var errNoTURN = errors.New("it does not answer as a TURN server")

// ask sends a request and waits for its response; over UDP it repeats the request.
func (s turnServer) ask(ctx context.Context, conn net.Conn, request message) (message, error) {
	packet := request.bytes()
	if s.network == "udp" {
		stop := repeat(ctx, func() { _, _ = conn.Write(packet) })
		defer stop()
	} else if _, err := conn.Write(packet); err != nil {
		return message{}, err
	}
	buf := make([]byte, 1500)
	for {
		n, err := s.read(conn, buf)
		if ctx.Err() != nil {
			return message{}, errors.New("no answer within 5 s")
		}
		if err != nil {
			return message{}, err
		}
		if answer, ok := parseMessage(buf[:n]); ok && answer.id == request.id {
			return answer, nil
		}
	}
}

// repeat calls send now, and again after 0.5, 1, 2 and 4 s, until it is stopped.
func repeat(ctx context.Context, send func()) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go func() {
		for wait := 500 * time.Millisecond; ; wait *= 2 {
			send()
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	}()
	return stop
}

// read reads one message: a packet, or from a stream as many bytes as the header says.
func (s turnServer) read(conn net.Conn, buf []byte) (int, error) {
	if s.network == "udp" {
		return conn.Read(buf)
	}
	if _, err := io.ReadFull(conn, buf[:headerSize]); err != nil {
		return 0, err
	}
	size := headerSize + int(binary.BigEndian.Uint16(buf[2:]))
	if size > len(buf) {
		return 0, errNoTURN
	}
	_, err := io.ReadFull(conn, buf[headerSize:size])
	return size, err
}

// message is a STUN message.
type message struct {
	kind       uint16
	id         [12]byte
	attributes []attribute
}

type attribute struct {
	kind  uint16
	value []byte
}

func newMessage(kind uint16, attributes ...attribute) message {
	m := message{kind: kind, attributes: attributes}
	_, _ = rand.Read(m.id[:]) // never fails
	return m
}

func (m message) bytes() []byte {
	b := binary.BigEndian.AppendUint16(nil, m.kind)
	b = binary.BigEndian.AppendUint16(b, 0) // the size, set below
	b = binary.BigEndian.AppendUint32(b, magicCookie)
	b = append(b, m.id[:]...)
	for _, a := range m.attributes {
		b = binary.BigEndian.AppendUint16(b, a.kind)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.value))) //nolint:gosec // the values are short
		b = append(b, a.value...)
		b = append(b, make([]byte, -len(a.value)&3)...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize)) //nolint:gosec // as above
	return b
}

// sign adds MESSAGE-INTEGRITY; the signed size already includes it. A nil key adds nothing.
func (m message) sign(key []byte) message {
	if key == nil {
		return m
	}
	m.attributes = append(m.attributes, attribute{attrIntegrity, make([]byte, sha1.Size)})
	b := m.bytes()
	mac := hmac.New(sha1.New, key)
	_, _ = mac.Write(b[:len(b)-4-sha1.Size]) // a hash never fails
	m.attributes[len(m.attributes)-1].value = mac.Sum(nil)
	return m
}

// parseMessage parses a message; ok is false for anything else.
func parseMessage(b []byte) (m message, ok bool) {
	if len(b) < headerSize || binary.BigEndian.Uint32(b[4:]) != magicCookie || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerSize {
		return m, false
	}
	m.kind = binary.BigEndian.Uint16(b)
	copy(m.id[:], b[8:])
	for b = b[headerSize:]; len(b) > 0; {
		if len(b) < 4 {
			return m, false
		}
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; len(b) < size {
			return m, false
		}
		m.attributes = append(m.attributes, attribute{kind, bytes.Clone(b[:size])})
		b = b[min(len(b), size+-size&3):]
	}
	return m, true
}

func (m message) get(kind uint16) []byte {
	for _, a := range m.attributes {
		if a.kind == kind {
			return a.value
		}
	}
	return nil
}

// code returns the number of an error response, 0 for any other.
func (m message) code() int {
	value := m.get(attrError)
	if m.kind&errorClass != errorClass || len(value) < 4 {
		return 0
	}
	return int(value[2]&7)*100 + int(value[3])
}
