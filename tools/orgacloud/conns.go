package orgacloud

import (
	"net"
	"sync"
)

// conns is a listener that bounds and tracks its connections, which turn.Server does not.
type conns struct {
	net.Listener
	mu     sync.Mutex
	open   map[*tracked]struct{}
	closed bool
}

// tracked is a connection that its listener forgets once it is closed.
type tracked struct {
	net.Conn
	listener *conns
}

func newConns(l net.Listener) *conns { return &conns{Listener: l, open: map[*tracked]struct{}{}} }

func (l *conns) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if t := (&tracked{conn, l}); l.keep(t) {
			return t, nil
		}
		_ = conn.Close() // over the bound
	}
}

func (l *conns) keep(t *tracked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.open) >= maxRelayConns {
		return false
	}
	l.open[t] = struct{}{}
	return true
}

func (t *tracked) Close() error {
	t.listener.mu.Lock()
	delete(t.listener.open, t)
	t.listener.mu.Unlock()
	return t.Conn.Close()
}

func (l *conns) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for t := range l.open {
		_ = t.Conn.Close() // the client may have closed it
	}
	clear(l.open)
}
