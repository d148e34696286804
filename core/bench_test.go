package core_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/orga-session/orga-session/core"
)

// BenchmarkHandler measures a request within the process, with Orga over loopback:
//
//	go test -run '^$' -bench Handler -benchmem ./core
//
// docs/benchmarks.md compares separate processes with Node.
func BenchmarkHandler(b *testing.B) {
	handler := benchHandler(b)
	for _, bench := range []struct {
		name, path, origin string
		status             int
	}{
		{"mint", "/api/orga-session", "https://app.example.com", http.StatusOK},
		{"refused origin", "/api/orga-session", "https://other.example.com", http.StatusForbidden},
		{"unknown route", "/favicon.ico", "", http.StatusNotFound},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := httptest.NewRequest(http.MethodGet, bench.path, nil)
				if bench.origin != "" {
					r.Header.Set("Origin", bench.origin)
				}
				w := &discard{header: make(http.Header)}
				for pb.Next() {
					clear(w.header)
					handler.ServeHTTP(w, r)
					if w.status != bench.status {
						b.Errorf("status %d, want %d", w.status, bench.status)
						return
					}
				}
			})
		})
	}
}

func benchHandler(b *testing.B) http.Handler {
	b.Helper()
	settings := core.Env{
		"ORGA_API_KEY":      "sk_orga_ai_test_of_a_benchmark",
		"ORGA_BASE_URL":     "http://" + startBareOrga(b),
		"ORGA_AUTH":         "anonymous",
		"ORGA_CORS_ORIGINS": "https://app.example.com",
		"ORGA_RATE_LIMIT":   "10000000/1m",
	}
	cfg := core.ConfigFromEnv(settings)
	cfg.Log = slog.New(slog.NewJSONHandler(nowhere{}, nil)) // a line is made, as in a deployment
	e := core.New(context.Background(), cfg, core.Drivers{})
	if err := e.Faults(); err != nil {
		b.Fatal(err)
	}
	return e
}

// startBareOrga answers both calls with constants, on bare sockets without allocations, so that a benchmark counts only
// the handler's.
func startBareOrga(b *testing.B) (addr string) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	answer := func(body string) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	mint := answer(`{"ephemeral_token":"ephemeral-of-a-benchmark","token_type":"bearer","expires_at":"2036-11-23T08:00:00"}`)
	ice := answer(`{"iceServers":[{"urls":"stun:stun.example.com:3478"},` +
		`{"urls":["turn:turn.example.com:3478?transport=udp"],"username":"user","credential":"pass"}]}`)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for first := byte(0); ; {
					line, err := in.ReadSlice('\n')
					switch {
					case err != nil:
						return
					case first == 0:
						first = line[0] // of POST, a mint, or GET, its ICE servers
					case len(line) > len("\r\n"):
					case first == 'P':
						first = 0
						_, err = conn.Write(mint)
					default:
						first = 0
						_, err = conn.Write(ice)
					}
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// discard is a ResponseWriter that keeps only the status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// nowhere replaces io.Discard, for which slog's handler would format no lines.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
