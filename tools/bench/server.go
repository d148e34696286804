package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/orga-session/orga-session/tools/bench/load"
	"github.com/orga-session/orga-session/tools/bench/proc"
	"github.com/orga-session/orga-session/tools/bench/standin"
)

// server is a process under test, with an Orga of its own whose connections are only its.
type server struct {
	*proc.Process
	orga *standin.Orga
	url  string
}

// origin is that of the page in whose name the load generator asks.
const origin = "https://app.example.com"

// usual are the settings that a user would have: a limit (far away), one origin, a log line a request.
var usual = []string{"ORGA_AUTH=anonymous", "ORGA_CORS_ORIGINS=" + origin, "ORGA_RATE_LIMIT=10000000/1m"}

// startOrga starts the endpoint. Its key comes from the environment.
func (l *lab) startOrga(m mode, settings []string, args ...string) (*server, error) {
	return l.startServer(m, "", settings, append([]string{l.server}, args...)...)
}

func (l *lab) startExpress(m mode) (*server, error) {
	return l.startServer(m, l.node, nil, "node", "express.mjs")
}

func (l *lab) startServer(m mode, dir string, settings []string, argv ...string) (*server, error) {
	orga, err := l.startStandin(m)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		orga.Close()
		return nil, err
	}
	env := append(l.environment(orga), "PORT="+port, "ORGA_API_KEY="+standin.APIKey)
	p, err := proc.Start(l.ctx, proc.Place{Cores: l.cores}, dir, append(env, settings...), argv...)
	if err != nil {
		orga.Close()
		return nil, err
	}
	s := &server{Process: p, orga: orga, url: "http://127.0.0.1:" + port}
	if err := s.await(10 * time.Second); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s: %w", filepath.Base(argv[0]), err)
	}
	return s, nil
}

func (l *lab) startStandin(m mode) (*standin.Orga, error) {
	if m.tls {
		return standin.StartOrga(m.delay, l.certificate)
	}
	return standin.StartOrga(m.delay, nil)
}

// environment is all that a process under test has: nothing of ours leaks into a measurement.
func (l *lab) environment(orga *standin.Orga) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + l.scratch, "TZ=UTC",
		"NODE_ENV=production",
		"ORGA_BASE_URL=" + orga.URL,
		"SSL_CERT_FILE=" + l.bundle, "SSL_CERT_DIR=" + l.noBundle, "NODE_EXTRA_CA_CERTS=" + l.authority,
	}
}

// await waits until the server listens.
func (s *server) await(limit time.Duration) error {
	for began := time.Now(); ; {
		conn, err := load.Dial(s.url, nil)
		if err == nil {
			return conn.Close()
		}
		if time.Since(began) > limit {
			return fmt.Errorf("does not listen: %w", err)
		}
		select {
		case <-s.Done():
			return fmt.Errorf("ended at its start; its settings or its packages are wrong")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends the process, and then its Orga.
func (s *server) Stop() {
	s.Process.Stop()
	s.orga.Close()
}

// freePort finds a port for a process that is told where to listen.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return "", err
	}
	return port, listener.Close()
}
