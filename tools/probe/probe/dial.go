package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// errNoTLS means that the TLS handshake failed on an open connection.
var errNoTLS = errors.New("no TLS")

// dial connects to u over the transport that it names: UDP, TCP or TLS.
func (p *prober) dial(ctx context.Context, u stun.URI) (net.PacketConn, net.Addr, error) {
	address := net.JoinHostPort(u.Host, strconv.Itoa(u.Port))
	if u.Proto == stun.ProtoTypeUDP {
		conn, err := new(net.Dialer).DialContext(ctx, "udp", address)
		if err != nil {
			return nil, nil, err
		}
		return datagrams{conn}, conn.RemoteAddr(), nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	if u.IsSecure() {
		secure := tls.Client(conn, &tls.Config{RootCAs: p.roots, ServerName: u.Host, MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // unusable
			return nil, nil, fmt.Errorf("%w: %w", errNoTLS, err)
		}
		conn = secure
	}
	return turn.NewSTUNConn(conn), conn.RemoteAddr(), nil
}

// datagrams is a connected UDP socket as a net.PacketConn. A connected socket reports a closed port immediately.
type datagrams struct{ net.Conn }

func (d datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := d.Read(b)
	return n, d.RemoteAddr(), err
}

func (d datagrams) WriteTo(b []byte, _ net.Addr) (int, error) { return d.Write(b) }
