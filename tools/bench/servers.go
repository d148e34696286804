//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/orga-session/orga-session/tools/bench/stats"
	"github.com/orga-session/orga-session/tools/fakeorga"
)

// The programs, as the report names them.
const (
	ours    = "orga-session"
	express = "Express"
	tuned   = "tuned net/http"
	noProxy = "direct client"
	node    = "Node"
)

const (
	origin       = "https://app.example.com" // of the page in whose name the clients ask
	originHeader = "Origin: " + origin + "\r\n"
	defaultPath  = "/api/orga-client-secrets"
	delay        = 25 * time.Millisecond // of each of Orga's two answers, where they have one
)

// usual are settings that a user would have: one origin, a limit (set too high to refuse), a log line for
// each request.
var usual = []string{"ORGA_AUTH=anonymous", "ORGA_CORS_ORIGINS=" + origin, "ORGA_RATE_LIMIT=10000000/1m"}

// server is a program under test with an Orga of its own; without a process, it is the direct client.
type server struct {
	name    string
	process *process
	orga    *fakeorga.API
	addr    string
	do      exchange
	asked   int // requests since the start
}

// environment is everything that a program under test finds in its environment.
func (l *lab) environment(orga *fakeorga.API) []string {
	return []string{
		"PATH=" + filepath.Dir(l.node) + ":" + os.Getenv("PATH"), "HOME=" + l.scratch, "TZ=UTC",
		"NODE_ENV=production", "NODE_EXTRA_CA_CERTS=" + l.authority, "ORGA_BASE_URL=" + orga.URL,
	}
}

// start starts a program as a server and waits until it listens.
func (l *lab) start(name string, certificate *tls.Certificate, settings ...string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	orga, err := fakeorga.Start(fakeorga.Options{Certificate: certificate})
	if err != nil {
		return nil, err
	}
	s := &server{name: name, orga: orga, addr: addr, do: viaEndpoint(func(int) (string, string) { return defaultPath, originHeader })}
	argv, dir := []string{l.server}, l.scratch
	switch name {
	case express:
		argv, dir = []string{l.node, "express.mjs"}, l.nodeDir
	case tuned:
		argv = []string{l.tuned}
	case noProxy:
		s.addr, s.do = orga.Addr, direct
		return s, nil
	case profiledServer:
		argv = []string{l.profiled}
	}
	_, port, _ := net.SplitHostPort(s.addr) // made by freeAddr
	env := append(l.environment(orga), "PORT="+port, "ORGA_API_KEY="+fakeorga.Key)
	if s.process, err = l.launcher.start(l.ctx, nil, dir, append(env, settings...), argv...); err != nil {
		orga.Close()
		return nil, err
	}
	if err := awaitListening(s.addr, s.process); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// freeAddr finds a free address for a program that is told where to listen.
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

// stop ends the program and its Orga. It returns an error when the endpoint lost log lines.
func (s *server) stop() error {
	if s.process != nil {
		s.process.stop()
	}
	s.orga.Close()
	if s.name == ours && s.process.output.lines < s.asked {
		return fmt.Errorf("%d requests, but %d log lines", s.asked, s.process.output.lines)
	}
	return nil
}

// turn is what one program did in one turn.
type turn struct {
	Rate      float64 // requests a second
	CPU       float64 // µs a request; NaN for the direct client, which shares the core of the load generator
	latencies []time.Duration
}

// series are the turns of one program under one load, one a round.
type series []turn

// values picks a figure out of rounds.
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
func p99(t turn) float64  { return quantile(t.latencies, 0.99) }

// pooled is a quantile over the requests of all rounds, in ms.
func (t series) pooled(q float64) float64 {
	var all []time.Duration
	for _, turn := range t {
		all = append(all, turn.latencies...)
	}
	return quantile(all, q)
}

// quantile is in ms.
func quantile(latencies []time.Duration, q float64) float64 {
	return stats.Quantile(slices.Sorted(slices.Values(latencies)), q) / 1e6
}

// take gives a program its turn.
func (s *server) take(n int, warm, measured time.Duration) (t turn, err error) {
	c, err := connect(n, s.addr, s.do)
	if err != nil {
		return t, fmt.Errorf("%s: %w", s.name, err)
	}
	defer c.close()
	warmed, _, err := c.run(warm)
	if err != nil {
		return t, fmt.Errorf("%s: %w", s.name, err)
	}
	s.asked += len(warmed)
	var began, ended time.Duration
	if s.process != nil {
		if began, err = s.process.cpu(); err != nil {
			return t, err
		}
	}
	latencies, elapsed, err := c.run(measured)
	if err != nil {
		return t, fmt.Errorf("%s: %w", s.name, err)
	}
	requests := float64(len(latencies))
	s.asked += len(latencies)
	t = turn{Rate: requests / elapsed.Seconds(), CPU: math.NaN(), latencies: latencies}
	if s.process != nil {
		ended, err = s.process.cpu()
		t.CPU = float64((ended - began).Nanoseconds()) / 1e3 / requests
	}
	return t, err
}

// load is one point of comparison.
type load struct {
	kind    string // of Orga: plain, secure or slow
	clients int
}

const (
	plain  = "HTTP, no delay"
	secure = "TLS, no delay"
	slow   = "HTTP, 25 ms"
)

// rounds lets servers take turns, each round beginning with another one.
func (l *lab) rounds(servers []*server, rounds, clients int, measured time.Duration) (map[string]series, error) {
	all := make(map[string]series)
	for round := range rounds {
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

// startAll starts programs and gives each an unmeasured turn.
func (l *lab) startAll(certificate *tls.Certificate, names ...string) (servers []*server, stop func() error, err error) {
	stop = func() (err error) {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
		return err
	}
	for _, name := range names {
		s, err := l.start(name, certificate, usual...)
		if err != nil {
			_ = stop()
			return nil, nil, err
		}
		servers = append(servers, s)
		if _, err := s.take(64, l.warm, l.firstWarm); err != nil {
			_ = stop()
			return nil, nil, err
		}
	}
	return servers, stop, nil
}

// measurePlain compares the servers over HTTP, first at full load and then with answers that take time.
func (l *lab) measurePlain(r *results) (err error) {
	servers, stop, err := l.startAll(nil, ours, express, tuned)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, n := range []int{16, 64} {
		if r.Servers[load{plain, n}], err = l.rounds(servers, l.plan.rounds, n, l.turn); err != nil {
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
	defer func() { _ = client.stop() }()
	servers = append(servers[:len(servers):len(servers)], client)
	for _, s := range servers {
		s.orga.SetDelay(delay)
	}
	for _, n := range []int{1, 16, 80} {
		if r.Servers[load{slow, n}], err = l.rounds(servers, l.plan.rounds, n, l.slowTurn); err != nil {
			return err
		}
	}
	r.Memory80, err = memories(servers[:3])
	return err
}

func (l *lab) measureTLS(r *results) (err error) {
	servers, stop, err := l.startAll(&l.certificate, ours, express, tuned)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	r.Servers[load{secure, 16}], err = l.rounds(servers, l.plan.rounds, 16, l.turn)
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

// variant is the endpoint under one aspect of growth.
type variant struct {
	Name   string
	Turns  series
	Memory float64 // MB
}

// measureGrowth compares the endpoint with itself: more clients, tenants and callers, and a shared store.
func (l *lab) measureGrowth(r *results) (err error) {
	tenants, names := make(map[string]any), make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("tenant-%d", i)
		tenants[names[i]] = map[string]any{"apiKeySource": "env:ORGA_API_KEY", "corsOrigins": []string{origin}}
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
		name     string
		clients  int
		target   func(n int) (path, header string) // nil for the usual one
		settings []string
	}{
		{"1 client", 1, nil, nil},
		{"4 clients", 4, nil, nil},
		{"16 clients", 16, nil, nil},
		{"64 clients", 64, nil, nil},
		{"256 clients", 256, nil, nil},
		{"16 clients, 1,000 tenants in turn", 16, func(n int) (string, string) {
			return "/api/orga-session/" + names[n%len(names)], originHeader
		}, []string{"ORGA_TENANTS_SOURCE=file:" + file}},
		{"16 clients, every request from a new caller", 16, caller, nil},
	}
	redis, stop, err := l.startRedis()
	if err != nil {
		l.progress("no redis-server, so no row for it: %v", err)
	} else {
		defer stop()
		rows = append(rows, rows[2])
		last := &rows[len(rows)-1]
		last.name, last.settings = "16 clients, limit in Redis", []string{"ORGA_RATE_LIMIT_STORE=" + redis}
	}
	servers := make([]*server, len(rows))
	r.Growth = make([]variant, len(rows))
	for i, row := range rows {
		if servers[i], err = l.start(ours, nil, append(row.settings, usual...)...); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		defer func() { err = errors.Join(err, servers[i].stop()) }()
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
	for i, s := range servers {
		if r.Growth[i].Memory, err = s.process.memory(); err != nil {
			return err
		}
	}
	return nil
}

// startRedis starts a redis-server on the core of the load generator.
func (l *lab) startRedis() (address string, stop func(), err error) {
	addr, err := freeAddr()
	if err != nil {
		return "", nil, err
	}
	u := url.URL{Scheme: "redis", Host: addr}
	ctx, cancel := context.WithCancel(l.ctx)
	cmd := exec.CommandContext(ctx, "redis-server", "--port", u.Port(), "--bind", u.Hostname(), "--save", "", "--dir", l.scratch)
	if err := cmd.Start(); err != nil {
		cancel()
		return "", nil, err
	}
	stop = func() {
		cancel()
		_ = cmd.Wait() // ends by a signal
	}
	return u.String(), stop, awaitListening(addr, &process{})
}
