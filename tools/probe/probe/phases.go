package probe

import (
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// phases records the phases of a request. Its hooks may run concurrently, if two addresses are tried at once, and
// after the request was abandoned.
type phases struct {
	mu     sync.Mutex
	timing Timing
	remote string

	dns, connect, handshake, written time.Time
}

func (p *phases) seen() (Timing, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.timing, p.remote
}

func (p *phases) clientTrace() *httptrace.ClientTrace {
	locked := func(f func()) {
		p.mu.Lock()
		defer p.mu.Unlock()
		f()
	}
	begin := func(t *time.Time) { locked(func() { *t = time.Now() }) }
	end := func(ms *float64, t *time.Time) { locked(func() { *ms = millis(time.Since(*t)) }) }
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { begin(&p.dns) },
		DNSDone:              func(httptrace.DNSDoneInfo) { end(&p.timing.DNS, &p.dns) },
		ConnectStart:         func(string, string) { begin(&p.connect) },
		ConnectDone:          func(string, string, error) { end(&p.timing.Connect, &p.connect) },
		TLSHandshakeStart:    func() { begin(&p.handshake) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { end(&p.timing.TLS, &p.handshake) },
		GotConn:              func(i httptrace.GotConnInfo) { locked(func() { p.remote = i.Conn.RemoteAddr().String() }) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { begin(&p.written) },
		GotFirstResponseByte: func() { end(&p.timing.FirstByte, &p.written) },
	}
}

// serverTiming parses Server-Timing into milliseconds by name. It accepts only the names that the endpoint documents,
// because anything else is untrusted.
func serverTiming(h http.Header) map[string]float64 {
	out := map[string]float64{}
	for metric := range strings.SplitSeq(strings.Join(h.Values("Server-Timing"), ","), ",") {
		name, rest, _ := strings.Cut(metric, ";")
		_, dur, _ := strings.Cut(rest, "dur=")
		ms, err := strconv.ParseFloat(strings.TrimSpace(dur), 64)
		valid := err == nil && ms >= 0 && ms < 1e9 // excludes NaN and infinity, which JSON cannot represent
		if name = strings.TrimSpace(name); valid && slices.Contains([]string{"secret", "token", "ice"}, name) {
			out[name] = ms
		}
	}
	return out
}
