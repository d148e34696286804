package orgatest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// Proxy forwards TCP connections to another address, and injects network faults. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	links  map[*link]struct{}
	opened int
}

// link is one connection through a Proxy.
type link struct {
	client, server *net.TCPConn
	silent         atomic.Bool // drop all bytes, and ignore the other side's close
}

// NewProxy listens on 127.0.0.1 and forwards to target (host:port).
func NewProxy(target string) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, target: target, links: map[*link]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns the Proxy's address, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Opened returns the number of connections made so far.
func (p *Proxy) Opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// Cut closes the open connections (FIN), as servers close idle ones.
func (p *Proxy) Cut() { p.each(func(l *link) { l.close() }) }

// Reset resets the open connections (RST), as a restarted server does.
func (p *Proxy) Reset() {
	p.each(func(l *link) {
		_ = l.client.SetLinger(0)
		l.close()
	})
}

// Swallow silences the open connections: data sent on them vanishes, and nothing ever comes back, as when a NAT has
// dropped them. Later connections work.
func (p *Proxy) Swallow() { p.each(func(l *link) { l.silent.Store(true) }) }

// Close closes the Proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.wg.Wait()
}

func (p *Proxy) each(do func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		do(l)
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{client: client.(*net.TCPConn), server: server.(*net.TCPConn)}
		p.mu.Lock()
		p.opened++
		p.links[l] = struct{}{}
		if p.closed {
			l.close()
		}
		p.mu.Unlock()
		p.wg.Go(func() {
			var both sync.WaitGroup
			both.Go(func() { l.pump(l.server, l.client) })
			both.Go(func() { l.pump(l.client, l.server) })
			both.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.links, l)
		})
	}
}

// pump copies bytes one way until either side ends. On a silent link, only the client's end counts.
func (l *link) pump(to, from *net.TCPConn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.silent.Load() {
			if _, werr := to.Write(buf[:n]); werr != nil && err == nil {
				err = werr
			}
		}
		if err == nil {
			continue
		}
		if from == l.client || !l.silent.Load() {
			l.close()
		}
		return
	}
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}
