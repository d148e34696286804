package orgacloud

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
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
	// credentialTTL is how long a TURN credential outlives its token: an allocation is refreshed with it
	// for as long as the call lasts.
	credentialTTL = time.Hour
	// A browser allocates once for each TURN URL, network interface and kind of media.
	maxAllocations       = 512
	maxAllocationsAToken = 64
	maxRelayConns        = 64
)

// silent keeps pion's own log out: it prints usernames and addresses.
var silent = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled, ScopeLevels: map[string]logging.LogLevel{}}

// relay is a STUN and TURN server on the loopback interface, over UDP, TCP and, where asked for, TLS. It
// relays to loopback addresses only, so that it is no way into the machine's network.
type relay struct {
	addresses relayAddresses
	secret    []byte
	server    *turn.Server
	nowhere   net.PacketConn
	tcp       []*conns

	in, out atomic.Uint64 // bytes relayed from and to peers
	refused atomic.Uint64 // requests with a wrong or expired credential
	total   atomic.Uint64 // allocations ever made

	mu     sync.Mutex
	active map[string]Allocation // by client address and protocol
}

// Allocation is one relayed address that is in use.
type Allocation struct {
	Username string `json:"username"` // of the TURN credential it was made with
	Client   string `json:"client"`
	Protocol string `json:"protocol"`
	Relayed  string `json:"relayed"`
}

// startRelay listens; certificate is for TURN over TLS, nil for none.
func startRelay(certificate *tls.Certificate) (*relay, error) {
	r := &relay{secret: []byte(rand.Text()), active: map[string]Allocation{}}
	packets, stream, err := listenBoth()
	if err != nil {
		return nil, err
	}
	opened := []io.Closer{packets, stream}
	fail := func(err error) (*relay, error) {
		for _, c := range opened {
			_ = c.Close() // the first error is the one to report
		}
		return nil, err
	}
	if r.nowhere, err = net.ListenPacket("udp4", loopback); err != nil {
		return fail(err)
	}
	opened = append(opened, r.nowhere)
	r.tcp = []*conns{newConns(stream)}
	r.addresses = relayAddresses{udp: packets.LocalAddr().String(), tcp: stream.Addr().String(), nowhere: r.nowhere.LocalAddr().String()}
	listeners := []net.Listener{r.tcp[0]}
	if certificate != nil {
		secure, err := net.Listen("tcp4", loopback)
		if err != nil {
			return fail(err)
		}
		opened = append(opened, secure)
		r.addresses.tls = secure.Addr().String()
		r.tcp = append(r.tcp, newConns(secure))
		listeners = append(listeners, tls.NewListener(r.tcp[1], &tls.Config{
			Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12,
		}))
	}

	generator := counting{&turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}, r}
	permission := func(_ net.Addr, peer net.IP) bool { return peer.IsLoopback() }
	config := turn.ServerConfig{
		Realm:         realm,
		LoggerFactory: silent,
		AuthHandler:   r.authenticate,
		QuotaHandler:  r.quota,
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

// loopback is any free port on it.
const loopback = "127.0.0.1:0"

// listenBoth finds a port that is free for UDP and TCP alike, as TURN servers have it.
func listenBoth() (net.PacketConn, net.Listener, error) {
	var err error
	for range 8 {
		var packets net.PacketConn
		if packets, err = net.ListenPacket("udp4", loopback); err != nil {
			return nil, nil, err
		}
		var stream net.Listener
		if stream, err = net.Listen("tcp4", packets.LocalAddr().String()); err == nil {
			return packets, stream, nil
		}
		_ = packets.Close() // nothing was sent on it
	}
	return nil, nil, fmt.Errorf("no port is free for both UDP and TCP: %w", err)
}

// Close ends the relay and every connection to it.
func (r *relay) Close() error {
	err := errors.Join(r.server.Close(), r.nowhere.Close())
	for _, l := range r.tcp {
		l.closeAll()
	}
	return err
}

// credential is the password that goes with a username. Usernames are "EXPIRY:TOKEN-ID" with the expiry in
// Unix seconds, so that nothing needs to be remembered (draft-uberti-behave-turn-rest-00).
func (r *relay) credential(username string) string {
	mac := hmac.New(sha1.New, r.secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (r *relay) authenticate(a *turn.RequestAttributes) (user string, key []byte, ok bool) {
	expiry, _, _ := strings.Cut(a.Username, ":")
	seconds, err := strconv.ParseInt(expiry, 10, 64)
	if err != nil || time.Now().Unix() >= seconds {
		r.refused.Add(1) // the server tells onAuth of wrong passwords only
		return "", nil, false
	}
	return a.Username, turn.GenerateAuthKey(a.Username, a.Realm, r.credential(a.Username)), true
}

func (r *relay) quota(username, _ string, _ net.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := 0
	for _, a := range r.active {
		if a.Username == username {
			own++
		}
	}
	return len(r.active) < maxAllocations && own < maxAllocationsAToken
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

// RelayStats is what went through the TURN server.
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

// counting counts what the relayed sockets carry.
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
	c.relay.out.Add(uint64(len(b))) // before: who gets the packet may ask for the count at once
	return c.PacketConn.WriteTo(b, addr)
}
