package probe

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"testing"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

const (
	turnUser = "turn-user"
	turnPass = "turn-credential-nobody-may-print"
)

var discard = log.New(io.Discard, "", 0)

// turnServer is a TURN and STUN server on this machine, over UDP and TCP on one port and over TLS on another.
type turnServer struct {
	port, tlsPort int
	forbid        bool // refuses every peer
	credential    string
}

func newTURNServer(t *testing.T, certificate *tls.Config) *turnServer {
	s := &turnServer{credential: turnPass}
	tcp, udp := listenBoth(t)
	s.port = tcp.Addr().(*net.TCPAddr).Port
	secure := listen(t)
	s.tlsPort = secure.Addr().(*net.TCPAddr).Port
	s.serve(t, []net.PacketConn{udp}, []net.Listener{tcp, tls.NewListener(secure, certificate)})
	return s
}

// serve starts a server on the sockets, and closes them at the end of the test.
func (s *turnServer) serve(t *testing.T, packets []net.PacketConn, streams []net.Listener) {
	relays := func() turn.RelayAddressGenerator {
		return &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
	}
	permit := func(net.Addr, net.IP) bool { return !s.forbid }
	c := turn.ServerConfig{
		Realm:         "probe.test",
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard},
		AuthHandler: func(ra *turn.RequestAttributes) (string, []byte, bool) {
			return ra.Username, turn.GenerateAuthKey(ra.Username, ra.Realm, turnPass), ra.Username == turnUser
		},
	}
	for _, p := range packets {
		c.PacketConnConfigs = append(c.PacketConnConfigs,
			turn.PacketConnConfig{PacketConn: p, RelayAddressGenerator: relays(), PermissionHandler: permit})
	}
	for _, l := range streams {
		c.ListenerConfigs = append(c.ListenerConfigs,
			turn.ListenerConfig{Listener: l, RelayAddressGenerator: relays(), PermissionHandler: permit})
	}
	server, err := turn.NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
}

// withoutUDP is a server behind a firewall that drops UDP: the port is open, but nothing answers.
func withoutUDP(t *testing.T) *turnServer {
	tcp, _ := listenBoth(t)
	s := &turnServer{port: tcp.Addr().(*net.TCPAddr).Port, credential: turnPass}
	s.serve(t, nil, []net.Listener{tcp})
	return s
}

// silent is a server that accepts every packet and answers none.
func silent(t *testing.T) *turnServer {
	_, udp := listenBoth(t)
	return &turnServer{port: udp.LocalAddr().(*net.UDPAddr).Port}
}

// gone is a server with closed ports.
func gone(t *testing.T) *turnServer {
	tcp, udp := listenBoth(t)
	_, _ = tcp.Close(), udp.Close() // errors do not matter
	return &turnServer{port: tcp.Addr().(*net.TCPAddr).Port, credential: turnPass}
}

func (s *turnServer) stunURL() string { return fmt.Sprintf("stun:127.0.0.1:%d", s.port) }
func (s *turnServer) udpURL() string  { return fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", s.port) }
func (s *turnServer) tcpURL() string  { return fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", s.port) }
func (s *turnServer) tlsURL() string {
	return fmt.Sprintf("turns:127.0.0.1:%d?transport=tcp", s.tlsPort)
}

// iceServers is the list of a session config.
func (s *turnServer) iceServers() []any {
	return []any{
		map[string]any{"urls": s.stunURL()},
		s.entry(s.udpURL(), s.tcpURL(), s.tlsURL()),
	}
}

func (s *turnServer) entry(urls ...string) map[string]any {
	return map[string]any{"urls": urls, "username": turnUser, "credential": s.credential}
}

// listenBoth opens a TCP and a UDP port with the same number.
func listenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	for range 10 { // a relay of another test may use the port
		tcp := listen(t)
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			t.Cleanup(func() { _ = udp.Close() })
			return tcp, udp
		}
	}
	t.Fatal("no port is free for TCP and UDP")
	return nil, nil
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
