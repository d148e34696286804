//go:build linux

package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit/ratelimittest"
	"github.com/orga-session/orga-session/tools/bench/stats"
	"github.com/orga-session/orga-session/tools/fakeorga"
)

// Names of the programs in the report.
const (
	ours    = "orga-session"
	express = "Express"
	tuned   = "tuned net/http"
	noProxy = "direct client"
	node    = "Node"
	google  = "orga-session on Google Cloud"
)

const (
	origin       = "https://app.example.com" // of the clients' page
	originHeader = "Origin: " + origin + "\r\n"
	defaultPath  = "/api/orga-client-secrets"
	delay        = 25 * time.Millisecond // of each of Orga's two answers, in measurements with a delay
)

// usual are typical settings: one origin, a limit (too high to refuse), a log line per request.
var usual = []string{"ORGA_AUTH=anonymous", "ORGA_CORS_ORIGINS=" + origin, "ORGA_RATE_LIMIT=10000000/1m"}

// server is a program under test with its own Orga; without a process, it is the direct client.
type server struct {
	name    string
	process *process
	orga    *fakeorga.API
	addr    string
	do      exchange
	asked   int // requests since the start
}

// environment is the complete environment of a program under test.
func (l *lab) environment(orga *fakeorga.API) []string {
	return []string{
		"PATH=" + filepath.Dir(l.node) + ":" + os.Getenv("PATH"), "HOME=" + l.scratch, "TZ=UTC",
		"NODE_ENV=production", "NODE_EXTRA_CA_CERTS=" + l.authority, "ORGA_BASE_URL=" + orga.URL,
	}
}

// start starts a program as a server, and waits until it listens.
func (l *lab) start(name string, certificate *tls.Certificate, settings ...string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	orga, err := fakeorga.Start(fakeorga.Options{Certificate: certificate})
	if err != nil {
		return nil, err
	}
	l.atEnd(func() error { orga.Close(); return nil })
	s := &server{name: name, orga: orga, addr: addr, do: viaEndpoint(func(int) (string, string) { return defaultPath, originHeader })}
	argv, dir := []string{l.server, "-addr", addr}, l.scratch
	switch name {
	case express:
		argv, dir = []string{l.node, "express.mjs"}, l.nodeDir
	case tuned:
		argv = []string{l.tuned}
	case noProxy:
		s.addr, s.do = orga.Addr, direct
		return s, nil
	case profiledServer:
		argv = []string{l.profiled, "-addr", addr}
	case google:
		argv = []string{l.google}
	}
	_, port, _ := net.SplitHostPort(s.addr) // made by freeAddr
	env := append(l.environment(orga), "PORT="+port, "ORGA_API_KEY="+fakeorga.Key)
	if s.process, err = l.launcher.start(l.ctx, nil, dir, append(env, settings...), argv...); err != nil {
		return nil, err
	}
	l.atEnd(s.stop)
	if err := awaitListening(s.addr, s.process); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// freeAddr returns a free address for a program that must be told where to listen.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func awaitListening(addr string, p *process) error {
	for range 5000 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended at its start: %s", &p.output)
		case <-time.After(2 * time.Millisecond):
		}
	}
	return fmt.Errorf("does not listen: %s", &p.output)
}

// stop ends the program. It returns an error if the endpoint lost log lines.
func (s *server) stop() error {
	s.process.stop()
	if s.name == ours && s.process.output.lines < s.asked {
		return fmt.Errorf("%d requests, but %d log lines", s.asked, s.process.output.lines)
	}
	return nil
}

// turn is the result of one program's turn.
type turn struct {
	Rate      float64 // requests per second
	CPU       float64 // µs per request
	latencies []time.Duration
}

// series are the turns of one program under one load, one per round.
type series []turn

// values returns a figure of each round.
func values[T any](rounds []T, figure func(T) float64) []float64 {
	var all []float64
	for _, round := range rounds {
		all = append(all, figure(round))
	}
	return all
}

func rate(t turn) float64 { return t.Rate }
func cpu(t turn) float64  { return t.CPU }
func p50(t turn) float64  { return quantile(t.latencies, 0.5) }

// pooled returns a quantile over the requests of all rounds, in ms.
func (t series) pooled(q float64) float64 {
	var all []time.Duration
	for _, turn := range t {
		all = append(all, turn.latencies...)
	}
	return quantile(all, q)
}

// quantile returns a quantile in ms.
func quantile(latencies []time.Duration, q float64) float64 {
	return stats.Quantile(slices.Sorted(slices.Values(latencies)), q) / 1e6
}

// take gives a program its turn.
func (s *server) take(n int, warm, measured time.Duration) (turn, error) {
	c, err := connect(n, s.addr, s.do)
	if err != nil {
		return turn{}, fmt.Errorf("%s: %w", s.name, err)
	}
	defer c.close()
	warmed, _, err := c.run(warm)
	if err != nil {
		return turn{}, fmt.Errorf("%s: %w", s.name, err)
	}
	began, err := s.process.cpu()
	if err != nil {
		return turn{}, err
	}
	latencies, elapsed, err := c.run(measured)
	if err != nil {
		return turn{}, fmt.Errorf("%s: %w", s.name, err)
	}
	ended, err := s.process.cpu()
	s.asked += len(warmed) + len(latencies)
	requests := float64(len(latencies))
	return turn{requests / elapsed.Seconds(), float64((ended - began).Nanoseconds()) / 1e3 / requests, latencies}, err
}

// load is one load for a comparison.
type load struct {
	kind    string // of Orga: plain, secure or slow
	clients int
}

const (
	plain  = "HTTP, no delay"
	secure = "TLS, no delay"
	slow   = "HTTP, 25 ms"
)

// rounds lets servers take turns; each round starts with another one.
func (l *lab) rounds(servers []*server, clients int, measured time.Duration) (map[string]series, error) {
	all := make(map[string]series)
	for round := range l.plan.rounds {
		for i := range servers {
			s := servers[(i+round)%len(servers)]
			t, err := s.take(clients, l.warm, measured)
			if err != nil {
				return nil, err
			}
			all[s.name] = append(all[s.name], t)
		}
	}
	return all, nil
}

// startAll starts programs, each with an unmeasured turn.
func (l *lab) startAll(certificate *tls.Certificate, names ...string) (servers []*server, err error) {
	for _, name := range names {
		s, err := l.start(name, certificate, usual...)
		if err != nil {
			return nil, err
		}
		warm := l.firstWarm / 4
		if name == express {
			warm = l.firstWarm
		}
		if _, err := s.take(64, l.warm, warm); err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// measurePlain compares the servers over HTTP, first at full load, then with Orga's delay.
func (l *lab) measurePlain(r *results) error {
	servers, err := l.startAll(nil, ours, express, tuned)
	if err != nil {
		return err
	}
	for _, n := range []int{16, 64} {
		if r.Servers[load{plain, n}], err = l.rounds(servers, n, l.turn); err != nil {
			return err
		}
	}
	if r.Memory, err = memories(servers); err != nil {
		return err
	}
	client, err := l.start(noProxy, nil)
	if err != nil {
		return err
	}
	all := slices.Concat(servers[:3], []*server{client})
	for _, s := range all {
		s.orga.SetDelay(delay)
	}
	for n, measured := range map[int]time.Duration{1: l.slowTurn / 4, 16: l.slowTurn, 80: l.slowTurn / 2} {
		if r.Servers[load{slow, n}], err = l.rounds(all, n, measured); err != nil {
			return err
		}
	}
	r.Memory80, err = memories(servers)
	return err
}

func (l *lab) measureTLS(r *results) error {
	servers, err := l.startAll(&l.certificate, ours, express, tuned)
	if err != nil {
		return err
	}
	r.Servers[load{secure, 16}], err = l.rounds(servers, 16, l.turn)
	return err
}

// memories returns the peak resident set of each, in MB.
func memories(servers []*server) (map[string]float64, error) {
	m := make(map[string]float64)
	for _, s := range servers {
		var err error
		if m[s.name], err = s.process.memory(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// variant is the endpoint under one kind of growth.
type variant struct {
	Name   string
	Turns  series
	Memory float64 // MB
}

// measureGrowth compares the endpoint with itself, with more clients, tenants and callers, and with a shared store.
func (l *lab) measureGrowth(r *results) error {
	tenants, names := make(map[string]any), make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("tenant-%d", i)
		tenants[names[i]] = map[string]any{"apiKeySource": "env:ORGA_API_KEY_TENANTS", "corsOrigins": []string{origin}}
	}
	text, err := json.Marshal(map[string]any{"tenants": tenants})
	if err != nil {
		return err
	}
	file := filepath.Join(l.scratch, "tenants.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	caller := func(n int) (string, string) {
		return defaultPath, fmt.Sprintf("X-Forwarded-For: 10.%d.%d.%d\r\n%s", n>>16&255, n>>8&255, n&255, originHeader)
	}
	rows := []struct {
		name, program string
		clients       int
		target        func(n int) (path, header string) // nil for the default
		settings      []string
	}{
		{"1 client", ours, 1, nil, nil},
		{"4 clients", ours, 4, nil, nil},
		{"16 clients", ours, 16, nil, nil},
		{"64 clients", ours, 64, nil, nil},
		{"256 clients", ours, 256, nil, nil},
		{"16 clients, 1,000 tenants in turn", ours, 16, func(n int) (string, string) {
			return "/api/orga-session/" + names[n%len(names)], originHeader
		}, []string{"ORGA_TENANTS_SOURCE=file:" + file, "ORGA_API_KEY_TENANTS=" + fakeorga.Key}},
		{"16 clients, Google's function, one caller", google, 16, func(int) (string, string) { return caller(0) }, nil},
		{"16 clients, Google's function, every request from a new caller", google, 16, caller, nil},
	}
	stored := func(name string, settings ...string) {
		row := rows[2]
		row.name, row.settings = "16 clients, limit in "+name, settings
		rows = append(rows, row)
	}
	table := &ratelimittest.DynamoDB{Table: "limits"}
	dynamo := httptest.NewServer(table)
	defer dynamo.Close()
	stored("DynamoDB", "ORGA_RATE_LIMIT_STORE=dynamodb:limits", "AWS_ENDPOINT_URL_DYNAMODB="+dynamo.URL,
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=none")
	if redis, err := l.startRedis(); err != nil {
		l.progress("no row for Redis: %v", err)
	} else {
		stored("Redis", "ORGA_RATE_LIMIT_STORE="+redis)
	}
	servers := make([]*server, len(rows))
	r.Growth = make([]variant, len(rows))
	for i, row := range rows {
		if servers[i], err = l.start(row.program, nil, append(row.settings, usual...)...); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		if row.target != nil {
			servers[i].do = viaEndpoint(row.target)
		}
		if _, err := servers[i].take(row.clients, l.warm, l.firstWarm/4); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		r.Growth[i].Name = row.name
	}
	for range l.growth {
		for i, row := range rows {
			t, err := servers[i].take(row.clients, l.warm, l.turn)
			if err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
			r.Growth[i].Turns = append(r.Growth[i].Turns, t)
		}
	}
	counted := slices.IndexFunc(r.Growth, func(v variant) bool { return strings.HasSuffix(v.Name, "DynamoDB") })
	if asked := servers[counted].asked; table.Calls() < asked {
		return fmt.Errorf("only %d of %d requests were counted in DynamoDB", table.Calls(), asked)
	}
	for i, s := range servers {
		if r.Growth[i].Memory, err = s.process.memory(); err != nil {
			return err
		}
	}
	return nil
}

// startRedis starts a redis-server on the load generator's core.
func (l *lab) startRedis() (address string, err error) {
	addr, err := freeAddr()
	if err != nil {
		return "", err
	}
	host, port, _ := net.SplitHostPort(addr) // made by freeAddr
	cmd := exec.CommandContext(l.ctx, "redis-server", "--port", port, "--bind", host, "--save", "", "--dir", l.scratch)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	l.atEnd(func() error {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // reports that it was killed
		return nil
	})
	return "redis://" + addr, awaitListening(addr, &process{})
}
