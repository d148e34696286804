package orgacloud

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

const (
	realm = "orga.local"
	// credentialTTL is how long a TURN credential outlives its token. Allocations are refreshed with it throughout the
	// call.
	credentialTTL = time.Hour
)

// noLog drops pion's own log, which has usernames and addresses.
var noLog = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled, ScopeLevels: map[string]logging.LogLevel{}}

// relay is a STUN and TURN server on the loopback interface, over UDP, TCP and optionally TLS. It relays only to
// loopback addresses, so that it gives no access to the machine's network.
type relay struct {
	offer      offered
	unanswered net.PacketConn // nothing reads from it
	secret     []byte
	server     *turn.Server
	clients    context.Context // ends the connections over TCP
	hangUp     context.CancelFunc

	in, out atomic.Uint64 // bytes relayed from and to peers
	refused atomic.Uint64 // requests with a wrong or expired credential
	total   atomic.Uint64 // allocations ever made

	mu     sync.Mutex
	active map[string]Allocation // by client address and protocol
}

// Allocation is a relayed address in use.
type Allocation struct {
	Username string `json:"username"` // of the TURN credential it was made with
	Client   string `json:"client"`
	Protocol string `json:"protocol"`
	Relayed  string `json:"relayed"`
}

// startRelay starts a relay; certificate enables TURN over TLS, nil disables it.
func startRelay(certificate *tls.Certificate) (*relay, error) {
	r := &relay{secret: []byte(rand.Text()), active: map[string]Allocation{}}
	r.clients, r.hangUp = context.WithCancel(context.Background())
	packets, err := net.ListenPacket("udp4", loopback)
	if err != nil {
		return nil, err
	}
	opened := []io.Closer{packets}
	fail := func(err error) (*relay, error) {
		for _, c := range opened {
			_ = c.Close() // report the first error
		}
		return nil, err
	}
	if r.unanswered, err = net.ListenPacket("udp4", loopback); err != nil {
		return fail(err)
	}
	opened = append(opened, r.unanswered)
	stream, err := net.Listen("tcp4", loopback)
	if err != nil {
		return fail(err)
	}
	opened = append(opened, stream)
	address := packets.LocalAddr().String()
	r.offer = offered{stun: address, udp: address, tcp: stream.Addr().String()}
	listeners := []net.Listener{connections{stream, r.clients}}
	if certificate != nil {
		secure, err := net.Listen("tcp4", loopback)
		if err != nil {
			return fail(err)
		}
		opened = append(opened, secure)
		r.offer.tls = secure.Addr().String()
		listeners = append(listeners, tls.NewListener(connections{secure, r.clients}, &tls.Config{
			Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12,
		}))
	}

	generator := counting{&turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}, r}
	permission := func(_ net.Addr, peer net.IP) bool { return peer.IsLoopback() }
	config := turn.ServerConfig{
		Realm:         realm,
		LoggerFactory: noLog,
		AuthHandler:   r.authenticate,
		EventHandler: turn.EventHandler{
			OnAuth:              r.onAuth,
			OnAllocationCreated: r.onCreated,
			OnAllocationDeleted: r.onDeleted,
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: packets, RelayAddressGenerator: generator, PermissionHandler: permission}},
	}
	for _, l := range listeners {
		config.ListenerConfigs = append(config.ListenerConfigs,
			turn.ListenerConfig{Listener: l, RelayAddressGenerator: generator, PermissionHandler: permission})
	}
	if r.server, err = turn.NewServer(config); err != nil {
		return fail(err)
	}
	return r, nil
}

// loopback is any free port on loopback.
const loopback = "127.0.0.1:0"

// Close stops the relay and closes every connection to it.
func (r *relay) Close() error {
	r.hangUp()
	return errors.Join(r.server.Close(), r.unanswered.Close())
}

// connections is a listener whose connections end with a context: turn.Server does not close them.
type connections struct {
	net.Listener
	ctx context.Context
}

func (l connections) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return connection{conn, context.AfterFunc(l.ctx, func() { _ = conn.Close() })}, nil
}

type connection struct {
	net.Conn
	forget func() bool
}

func (c connection) Close() error {
	c.forget()
	return c.Conn.Close()
}

// credential returns the password of a username. Usernames are "EXPIRY:TOKEN-ID" with the expiry in Unix seconds,
// so the server needs no state (draft-uberti-behave-turn-rest-00).
func (r *relay) credential(username string) string {
	mac := hmac.New(sha1.New, r.secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (r *relay) authenticate(a *turn.RequestAttributes) (user string, key []byte, ok bool) {
	expiry, _, _ := strings.Cut(a.Username, ":")
	seconds, err := strconv.ParseInt(expiry, 10, 64)
	if err != nil || time.Now().Unix() >= seconds {
		r.refused.Add(1) // onAuth reports only wrong passwords
		return "", nil, false
	}
	return a.Username, turn.GenerateAuthKey(a.Username, a.Realm, r.credential(a.Username)), true
}

func (r *relay) onAuth(_, _ net.Addr, _, _, _, _ string, verdict bool) {
	if !verdict {
		r.refused.Add(1)
	}
}

func (r *relay) onCreated(client, at net.Addr, _, user, _ string, relayed net.Addr, _ int) {
	r.total.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active[client.Network()+client.String()] = Allocation{
		Username: user, Client: client.String(), Protocol: at.Network(), Relayed: relayed.String(),
	}
}

func (r *relay) onDeleted(client, _ net.Addr, _, _, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, client.Network()+client.String())
}

// RelayStats counts the TURN server's traffic.
type RelayStats struct {
	Active      []Allocation `json:"active"`
	Allocations uint64       `json:"allocations"` // ever made
	Refused     uint64       `json:"refused"`     // requests with a wrong or expired credential
	BytesIn     uint64       `json:"bytesIn"`     // relayed from peers to clients
	BytesOut    uint64       `json:"bytesOut"`    // relayed from clients to peers
}

func (r *relay) stats() RelayStats {
	r.mu.Lock()
	active := slices.SortedFunc(maps.Values(r.active), func(a, b Allocation) int { return strings.Compare(a.Relayed, b.Relayed) })
	r.mu.Unlock()
	if active == nil {
		active = []Allocation{}
	}
	return RelayStats{Active: active, Allocations: r.total.Load(), Refused: r.refused.Load(), BytesIn: r.in.Load(), BytesOut: r.out.Load()}
}

// counting is a relayed socket that counts bytes.
type counting struct {
	turn.RelayAddressGenerator
	relay *relay
}

func (c counting) AllocatePacketConn(config turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	conn, addr, err := c.RelayAddressGenerator.AllocatePacketConn(config)
	if err != nil {
		return nil, nil, err
	}
	return countingConn{conn, c.relay}, addr, nil
}

type countingConn struct {
	net.PacketConn
	relay *relay
}

func (c countingConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := c.PacketConn.ReadFrom(b)
	c.relay.in.Add(uint64(max(n, 0)))
	return n, addr, err
}

func (c countingConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	c.relay.out.Add(uint64(len(b))) // counted first: the recipient may read the counter at once
	return c.PacketConn.WriteTo(b, addr)
}
