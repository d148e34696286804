package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// errNotRelayed means that a packet sent through a TURN server did not arrive.
var errNotRelayed = errors.New("the packet did not come through the relay")

// requestBinding asks a STUN server for this machine's address.
func (p *prober) requestBinding(ctx context.Context, s iceServer) (string, error) {
	l, err := p.link(ctx, s)
	if err != nil {
		return "", err
	}
	defer l.close()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return "", err
	}
	answer, err := l.client.PerformTransactionWithContext(request, l.client.TURNServerAddr(), false, l.ctx)
	if err != nil {
		return "", l.why(err)
	}
	var seen stun.XORMappedAddress
	if err := seen.GetFrom(answer.Msg); err != nil {
		return "", err
	}
	return "sees this machine as " + seen.String(), nil
}

// relayPacket allocates two relays on a TURN server and sends a packet from one to the other, as two relay-only clients
// do.
func (p *prober) relayPacket(ctx context.Context, s iceServer) (string, error) {
	from, err := p.relay(ctx, s)
	if err != nil {
		return "", err
	}
	defer from.close()
	to, err := p.relay(ctx, s)
	if err != nil {
		return "", err
	}
	defer to.close()
	if err := to.client.CreatePermission(from.relay.LocalAddr()); err != nil {
		return "", to.why(err)
	}
	if err := send(from, to); err != nil {
		return "", err
	}
	return "relays over " + transportName(s.uri), nil
}

// send repeats a packet, because UDP may lose it, until it arrives or the time is up.
func send(from, to *link) error {
	const every = 100 * time.Millisecond
	packet := []byte(rand.Text())
	got := make([]byte, 1500)
	for from.ctx.Err() == nil && to.ctx.Err() == nil {
		if _, err := from.relay.WriteTo(packet, to.relay.LocalAddr()); err != nil {
			return from.why(err)
		}
		if err := to.relay.SetReadDeadline(time.Now().Add(every)); err != nil {
			return err
		}
		if n, _, err := to.relay.ReadFrom(got); err == nil && string(got[:n]) == string(packet) {
			return nil
		}
	}
	return errNotRelayed
}

// link is a connection to one server. Its context ends with the connection; the cause is the reason.
type link struct {
	ctx    context.Context
	end    context.CancelCauseFunc
	conn   net.PacketConn
	client *turn.Client
	relay  net.PacketConn // nil without an allocation
}

// link opens a connection to s.
func (p *prober) link(ctx context.Context, s iceServer) (*link, error) {
	conn, remote, err := p.dial(ctx, s.uri)
	if err != nil {
		return nil, err
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: remote.String(),
		Username:       s.username,
		Password:       s.credential,
		Conn:           conn,
		// The library's log may contain what a server sent.
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		_ = conn.Close() // never used
		return nil, err
	}
	l := &link{conn: conn, client: client}
	l.ctx, l.end = context.WithCancelCause(ctx)
	context.AfterFunc(l.ctx, func() {
		client.Close() // ends transactions without a context
		_ = conn.Close()
	})
	go l.listen()
	return l, nil
}

// relay opens a connection to s and allocates a relay with its credential.
func (p *prober) relay(ctx context.Context, s iceServer) (*link, error) {
	l, err := p.link(ctx, s)
	if err != nil {
		return nil, err
	}
	if l.relay, err = l.client.AllocateWithContext(l.ctx); err != nil {
		defer l.close()
		return nil, l.why(err)
	}
	return l, nil
}

func (l *link) listen() {
	packet := make([]byte, 64<<10)
	for {
		n, from, err := l.conn.ReadFrom(packet)
		if err != nil {
			l.end(err)
			return
		}
		_, _ = l.client.HandleInbound(packet[:n], from) // ignore packets that do not parse
	}
}

// why returns the reason why the connection ended, or err if it has not.
func (l *link) why(err error) error {
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	return err
}

// close releases the relay and closes the connection.
func (l *link) close() {
	if l.relay != nil {
		_ = l.relay.Close() // if this fails, the relay expires in ten minutes
	}
	l.end(nil)
}
