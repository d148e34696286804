//go:build linux

package main

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
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
	ours     = "orga-session"
	tuned    = "tuned net/http"
	noProxy  = "direct client"
	peer     = "Node"                         // Express, or a function on aws-lambda-ric
	google   = "orga-session on Google Cloud" // which takes callers from X-Forwarded-For
	profiled = "orga-session with a profiler"
	function = "orga-session on Lambda"
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
	clients int  // 0 for those of the load
	logs    bool // a line for each request
	asked   int  // requests since the start
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
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	orga, err := fakeorga.Start(fakeorga.Options{Certificate: certificate})
	if err != nil {
		return nil, err
	}
	l.atEnd(func() error { orga.Close(); return nil })
	if name == noProxy {
		return &server{name: name, orga: orga, addr: orga.Addr, do: direct}, nil
	}
	s := &server{name: name, orga: orga, addr: "127.0.0.1:" + port, logs: name == ours}
	s.do = viaEndpoint(func(int) (path, header string) { return defaultPath, originHeader })
	argv, dir := []string{l.programs[name], "-addr", s.addr}, l.scratch // the others take the port from the environment
	if name == peer {
		argv, dir = []string{l.node, "express.mjs"}, l.nodeDir
	}
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

// freePort returns a free port of 127.0.0.1 for a program that must be told where to listen.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port, listener.Close()
}

func awaitListening(addr string, p *process) error {
	for tries := 0; tries < 5000 && p.running.Err() == nil; tries++ {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return conn.Close()
		}
		time.Sleep(2 * time.Millisecond)
	}
	return fmt.Errorf("does not listen: %s", &p.output)
}

// stop ends the program. It returns an error if the endpoint lost log lines.
func (s *server) stop() error {
	s.process.stop()
	if s.logs && s.process.output.lines < s.asked {
		return fmt.Errorf("%d requests, but %d log lines", s.asked, s.process.output.lines)
	}
	return nil
}

// turn is the result of one program's turn.
type turn struct {
	Rate      float64 // requests per second
	CPU       float64 // µs per request
	Memory    float64 // MB, peak since the start
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

// p99 returns the p99 over the requests of all rounds, in ms.
func (s series) p99() float64 {
	return pooled(s, func(t turn) []time.Duration { return t.latencies }, 0.99)
}

// peak returns the peak memory until the end of the last round, in MB.
func (s series) peak() float64 { return s[len(s)-1].Memory }

// pooled returns a quantile over the latencies of all rounds, in ms.
func pooled[T any](rounds []T, latencies func(T) []time.Duration, q float64) float64 {
	var all []time.Duration
	for _, round := range rounds {
		all = append(all, latencies(round)...)
	}
	return quantile(all, q)
}

// quantile returns a quantile in ms.
func quantile(latencies []time.Duration, q float64) float64 {
	return stats.Quantile(slices.Sorted(slices.Values(latencies)), q) / 1e6
}

// take gives a program its turn.
func (s *server) take(n int, warm, measured time.Duration) (t turn, err error) {
	c, err := connect(cmp.Or(s.clients, n), s.addr, s.do)
	if err != nil {
		return t, err
	}
	defer c.close()
	warmed, _, err := c.run(warm)
	began, cpuErr := s.process.cpu()
	if err := errors.Join(err, cpuErr); err != nil {
		return t, err
	}
	latencies, elapsed, err := c.run(measured)
	ended, cpuErr := s.process.cpu()
	peak, memoryErr := s.process.memory()
	s.asked += len(warmed) + len(latencies)
	requests := float64(len(latencies))
	t = turn{requests / elapsed.Seconds(), float64((ended - began).Nanoseconds()) / 1e3 / requests, peak, latencies}
	return t, errors.Join(err, cpuErr, memoryErr)
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

// takeTurns lets programs take turns; each round starts with another one.
func takeTurns[T any](rounds int, programs []T, turn func(T) error) error {
	for round := range rounds {
		for i := range programs {
			if err := turn(programs[(i+round)%len(programs)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// rounds lets servers take turns.
func (l *lab) rounds(n int, servers []*server, clients int, measured time.Duration) (map[string]series, error) {
	all := make(map[string]series)
	return all, takeTurns(n, servers, func(s *server) error {
		t, err := s.take(clients, l.Warm, measured)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		all[s.name] = append(all[s.name], t)
		return nil
	})
}

// compare starts the endpoint, Express and the tuned program, and compares them with these numbers of clients at full load.
func (l *lab) compare(r *results, kind string, certificate *tls.Certificate, clients ...int) (servers []*server, err error) {
	for _, name := range []string{ours, peer, tuned} {
		s, err := l.start(name, certificate, usual...)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	if _, err := l.rounds(1, servers, 64, l.FirstWarm); err != nil {
		return nil, err
	}
	for _, n := range clients {
		if r.Servers[load{kind, n}], err = l.rounds(l.Rounds, servers, n, l.Turn); err != nil {
			return nil, err
		}
	}
	return servers, nil
}

// measurePlain compares the servers over HTTP, first at full load, then with Orga's delay.
func (l *lab) measurePlain(r *results) error {
	servers, err := l.compare(r, plain, nil, 16, 64)
	if err != nil {
		return err
	}
	client, err := l.start(noProxy, nil)
	if err != nil {
		return err
	}
	all := slices.Concat(servers, []*server{client})
	for _, s := range all {
		s.orga.SetDelay(delay)
	}
	for _, at := range []struct {
		servers  []*server
		clients  int
		measured time.Duration
	}{
		{all, 1, l.SlowTurn / 4},
		{all, 16, l.SlowTurn},
		{servers[:2], 80, l.SlowTurn / 2}, // the endpoint and Express
	} {
		if r.Servers[load{slow, at.clients}], err = l.rounds(l.Rounds, at.servers, at.clients, at.measured); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) measureTLS(r *results) error {
	_, err := l.compare(r, secure, &l.certificate, 16)
	return err
}

// parts are the functions that the report shows, as a pattern for pprof.
var parts = strings.Join([]string{
	`^internal/runtime/syscall.*\.Syscall6$`, `^runtime\.futex$`, // sockets, wake-ups, the log line
	`^net/http\.\(\*conn\)\.(serve|readRequest)$`, `^net/http\.\(\*response\)\.finishRequest$`, // the server
	`^net/http\.\(\*Transport\)\.RoundTrip$`, `^net/http\.\(\*persistConn\)\.(readLoop|writeLoop)$`, // the client
	`^encoding/json\.(Unmarshal|Marshal|\(\*(En|De)coder\)\.(Encode|Decode|Token))$`,
	`^runtime\.(mallocgc|gcBgMarkWorker|schedule)$`,
	`^log/slog\.\(\*Logger\)\.LogAttrs$`,
}, "|")

// measureProfile finds where the endpoint's CPU time goes with 16 clients and no delay.
func (l *lab) measureProfile(r *results) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s, err := l.start(profiled, nil, append([]string{"PPROF_PORT=" + port}, usual...)...)
	if err != nil {
		return err
	}
	finished := make(chan error)
	go func() {
		top, err := l.command(l.scratch, []string{"PPROF_TMPDIR=" + l.scratch},
			"go", "tool", "pprof", "-top", "-cum", "-show", parts, "-nodefraction=0", "-seconds=2", "http://127.0.0.1:"+port)
		_, r.Profile, _ = strings.Cut(top, " total\n")
		finished <- err
	}()
	_, err = s.take(16, time.Second/2, 3*time.Second)
	return errors.Join(<-finished, err)
}

// measureGrowth compares the endpoint with itself, with more clients, tenants and callers, and with a shared store.
func (l *lab) measureGrowth(r *results) error {
	tenants, names := make(map[string]any), make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("tenant-%d", i)
		tenants[names[i]] = map[string]any{"apiKeySource": "env:ORGA_API_KEY_TENANTS", "corsOrigins": []string{origin}}
	}
	document, err := json.Marshal(map[string]any{"tenants": tenants})
	if err != nil {
		return err
	}
	tenant := func(n int) (path, header string) { return "/api/orga-session/" + names[n%len(names)], originHeader }
	caller := func(n int) (path, header string) {
		return defaultPath, fmt.Sprintf("X-Forwarded-For: 10.%d.%d.%d\r\n%s", n>>16&255, n>>8&255, n&255, originHeader)
	}
	var servers []*server
	row := func(name, program string, clients int, target func(n int) (path, header string), settings ...string) *server {
		s, startErr := l.start(program, nil, append(settings, usual...)...)
		if startErr != nil {
			err = errors.Join(err, startErr)
			return nil
		}
		s.name, s.clients = name, clients
		if target != nil {
			s.do = viaEndpoint(target)
		}
		servers = append(servers, s)
		return s
	}
	row("1 client", ours, 1, nil)
	for _, n := range []int{4, 16, 64, 256} {
		row(fmt.Sprintf("%d clients", n), ours, n, nil)
	}
	row("16 clients, 1,000 tenants in turn", ours, 16, tenant, "ORGA_TENANTS_SOURCE=env:TENANTS", "TENANTS="+string(document), "ORGA_API_KEY_TENANTS="+fakeorga.Key)
	row("16 clients, Google's function, one caller", google, 16, func(int) (string, string) { return caller(0) })
	row("16 clients, Google's function, every request from a new caller", google, 16, caller)
	table := &ratelimittest.DynamoDB{Table: "limits"}
	dynamo := httptest.NewServer(table)
	defer dynamo.Close()
	counted := row("16 clients, limit in DynamoDB", ours, 16, nil, "ORGA_RATE_LIMIT_STORE=dynamodb:limits", "AWS_ENDPOINT_URL_DYNAMODB="+dynamo.URL,
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=none")
	if redis, err := l.startRedis(); err != nil {
		l.progress("no row for Redis: %v", err)
	} else {
		row("16 clients, limit in Redis", ours, 16, nil, "ORGA_RATE_LIMIT_STORE="+redis)
	}
	if err != nil {
		return err
	}
	if _, err := l.rounds(1, servers, 0, l.FirstWarm/4); err != nil {
		return err
	}
	all, err := l.rounds(l.Growth, servers, 0, l.Turn)
	if err != nil {
		return err
	}
	if table.Calls() < counted.asked {
		return fmt.Errorf("only %d of %d requests were counted in DynamoDB", table.Calls(), counted.asked)
	}
	for _, s := range servers {
		r.Growth = append(r.Growth, variant{s.name, all[s.name]})
	}
	return nil
}

// variant is the endpoint under one kind of growth.
type variant struct {
	name  string
	turns series
}

// startRedis starts a redis-server on the load generator's core.
func (l *lab) startRedis() (address string, err error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	addr := "127.0.0.1:" + port
	cmd := exec.CommandContext(l.ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", l.scratch)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	l.atEnd(func() error {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // reports that it was killed
		return nil
	})
	return "redis://" + addr, awaitListening(addr, &process{running: l.ctx})
}
