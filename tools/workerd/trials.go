package workerd

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// Trial is a requirement on an isolate (fault 76).
type Trial struct {
	Name string

	timeout time.Duration // ORGA_TIMEOUT
	run     func(context.Context, *testbed) (figures string, err error)
}

// The trials. Those that measure no time have a budget that even a busy machine can keep.
var (
	Cold  = Trial{"100 OIDC callers on a cold isolate", 30 * time.Second, cold}
	Hang  = Trial{"Orga hangs for 20 callers, with health checks meanwhile", 4 * time.Second, hang}
	Reset = Trial{"the caller that started a fetch disconnects", 10 * time.Second, reset}
	Burst = Trial{"mints, 100 at a time", 30 * time.Second, burst}
	Gzip  = Trial{"Orga and the issuer compress their answers", 30 * time.Second, compressed}
	Crash = Trial{"the program exits, and panics", 30 * time.Second, crash}
)

// Trials lists all trials.
var Trials = []Trial{Cold, Hang, Reset, Burst, Gzip, Crash}

// Mutation changes host.mjs so that a trial must fail. If the trial passes anyway, it proves nothing.
type Mutation struct {
	Name  string
	Fails Trial

	changes []string // from, to, from, to …
}

// Mutations are the two obvious simplifications of the design.
var Mutations = []Mutation{
	{"all requests share an instance, and none has a job loop", Cold, []string{
		"const pulse = setInterval(() => this.work(invocation), PULSE);", "const pulse = 0;",
		"invocation.post(job)", "this[job.kind](invocation, job)",
		"this.invocations.get(id)?.post(task)", "this[task.kind](this.invocations.get(id), task)",
	}},
	{"a job loop ends with its request", Reset, []string{"ctx.waitUntil(instance.run(invocation));", "instance.run(invocation);"}},
}

// Conditions are the environment of a trial.
type Conditions struct {
	Options      // Dir is the output of Stage
	Frozen  bool // the clock stands still between I/O operations
	Mints   int  // of Burst
}

// Stage writes a Worker for trials to dir: the modules in from behind the harness, with the mutation if there is one.
func Stage(root, from, dir string, m *Mutation) error {
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		return err
	}
	harness, err := os.ReadFile(filepath.Join(root, "tools", "workerd", "harness.mjs"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "harness.mjs"), harness, 0o644); err != nil || m == nil {
		return err
	}
	host := filepath.Join(dir, "host.mjs")
	text, err := os.ReadFile(host)
	if err != nil {
		return err
	}
	for i := 0; i < len(m.changes); i += 2 {
		if !strings.Contains(string(text), m.changes[i]) {
			return fmt.Errorf("host.mjs has no %s", m.changes[i])
		}
	}
	return os.WriteFile(host, []byte(strings.NewReplacer(m.changes...).Replace(string(text))), 0o644)
}

// AddCrash rebuilds the program in dir with a way to crash it, for Crash.
func AddCrash(ctx context.Context, root, dir string) error {
	overlay := filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(root, "cloudflare", "crash.go"): filepath.Join(root, "tools", "workerd", "testdata", "crash.go"),
	}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(overlay, replace, 0o644); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "orga-session.wasm"), "./cloudflare")
	build.Dir, build.Env = root, append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.Remove(overlay)
}

// maxMemory bounds the Go program's memory after Burst, in bytes.
const maxMemory = 32 << 20

// testbed is the environment of a running trial: a fresh isolate, and its upstreams.
type testbed struct {
	*Isolate
	timeout  time.Duration
	orga     *orgatest.API
	upstream *httptest.Server // of orga
	issuer   *issuer
	mints    int
	client   *http.Client
}

// Failure is the error of a trial that ran and failed. Any other error of Run means that it could not run.
type Failure struct{ err error }

func (f *Failure) Error() string { return f.err.Error() }
func (f *Failure) Unwrap() error { return f.err }

// Run runs a trial in a new isolate. It returns figures to print, "" if there are none.
func (t Trial) Run(ctx context.Context, c Conditions) (figures string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	provider, err := newIssuer()
	if err != nil {
		return "", err
	}
	defer provider.server.Close()
	s := &testbed{
		timeout: t.timeout, orga: new(orgatest.API), issuer: provider, mints: c.Mints,
		client: &http.Client{Timeout: t.timeout + 5*time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 200}},
	}
	defer s.client.CloseIdleConnections()
	s.upstream = httptest.NewServer(s.orga)
	defer s.upstream.Close()
	c.Entry, c.Vars = "harness.mjs", maps.Clone(c.Vars)
	if c.Vars == nil {
		c.Vars = make(map[string]string)
	}
	c.Secrets = map[string]string{"ORGA_KEY": orgatest.Key} // so that the first request waits for a job while Go starts
	own := c.Vars["ORGA_AUTH"]
	maps.Copy(c.Vars, map[string]string{
		"ORGA_API_KEY_SOURCE": "cloudflare:ORGA_KEY", "ORGA_BASE_URL": s.upstream.URL, "ORGA_TIMEOUT": t.timeout.String(), "ORGA_RATE_LIMIT": "off",
		"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": provider.server.URL, "ORGA_AUTH_AUDIENCE": audience, "ORGA_LOG_LEVEL": "warn",
	})
	if own != "" {
		c.Vars["ORGA_AUTH"] = own
	}
	if c.Frozen {
		c.Vars["HARNESS_FROZEN"] = "true"
	}
	if s.Isolate, err = Start(ctx, c.Options); err != nil {
		return "", err
	}
	defer s.Stop()
	figures, err = t.run(ctx, s)
	if err != nil && ctx.Err() == nil {
		err = &Failure{fmt.Errorf("%w\n%s", err, s.Log.Tail())}
	}
	return figures, err
}

// mint requests a session config as a new caller. An answer that violates the contract is an error.
func (s *testbed) mint(ctx context.Context, caller string) (status int, token string, err error) {
	credential, err := s.issuer.token(caller)
	if err != nil {
		return 0, "", err
	}
	resp, err := s.get(ctx, "/api/orga-client-secrets", credential)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	var said struct{ EphemeralToken, Code, RequestID string }
	if err := json.Unmarshal(body, &said); err != nil {
		return resp.StatusCode, "", fmt.Errorf("status %d, and no JSON: %.300q", resp.StatusCode, body)
	}
	h := resp.Header
	switch ok := resp.StatusCode == http.StatusOK; {
	case ok != (said.EphemeralToken != ""), ok == (said.Code != ""):
		err = fmt.Errorf("status %d with the code %q", resp.StatusCode, said.Code)
	case h.Get("Cache-Control") != "no-store", h.Get("Vary") != "Origin", h.Get("X-Request-Id") == "", !ok && h.Get("X-Request-Id") != said.RequestID:
		err = fmt.Errorf("status %d with the headers %v", resp.StatusCode, h)
	}
	return resp.StatusCode, said.EphemeralToken, err
}

func (s *testbed) get(ctx context.Context, path, credential string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Base+path, nil)
	if err != nil {
		return nil, err
	}
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	return s.client.Do(req)
}

// mintAll makes n callers mint, some at a time. All answers must have the status, and no token may repeat.
func (s *testbed) mintAll(ctx context.Context, n, atOnce, want int) error {
	var (
		mu       sync.Mutex
		wg       sync.WaitGroup
		next     atomic.Int64
		statuses = make(map[int]int)
		tokens   = make(map[string]bool)
		faults   []error
	)
	for range atOnce {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				status, token, err := s.mint(ctx, fmt.Sprint("caller-", i))
				mu.Lock()
				statuses[status]++
				if token != "" && tokens[token] {
					err = errors.New("a token came twice")
				}
				tokens[token] = true
				if err != nil && len(faults) < 3 {
					faults = append(faults, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if statuses[want] != n || len(faults) > 0 {
		return fmt.Errorf("statuses %v, want %d alone: %w", statuses, want, errors.Join(faults...))
	}
	return nil
}

// fetchedOnce requires that all callers together cause one discovery and one fetch of the keys.
func (s *testbed) fetchedOnce() error {
	if d, k := s.issuer.discovery.Load(), s.issuer.keys.Load(); d != 1 || k != 1 {
		return fmt.Errorf("%d discoveries and %d fetches of the keys", d, k)
	}
	return nil
}

func cold(ctx context.Context, s *testbed) (string, error) {
	s.issuer.delay = 200 * time.Millisecond // the others wait for the one fetching, without their own I/O
	before := s.cpu()
	if err := s.mintAll(ctx, 100, 100, http.StatusOK); err != nil {
		return "", err
	}
	return milliseconds(s.cpu()-before) + " of CPU", s.fetchedOnce()
}

func hang(ctx context.Context, s *testbed) (string, error) {
	if err := s.mintAll(ctx, 1, 1, http.StatusOK); err != nil {
		return "", err
	}
	s.orga.FailAll(orga.CallMint, orgatest.Hang())
	var wg sync.WaitGroup
	var late error
	health := make([]error, 20)
	wg.Go(func() {
		began := time.Now()
		late = s.mintAll(ctx, 20, 20, http.StatusGatewayTimeout)
		// The program keeps its budget; allow a second more for a busy machine.
		if took := time.Since(began); late == nil && (s.slowest() > s.timeout || took > s.timeout+time.Second) {
			late = fmt.Errorf("answered after %v, by the log %v, with a budget of %v", took, s.slowest(), s.timeout)
		}
	})
	for i := range health {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * s.timeout / 20)
			began := time.Now()
			resp, err := s.get(ctx, "/healthz", "")
			if err == nil {
				resp.Body.Close()
				if took := time.Since(began); resp.StatusCode != http.StatusOK || took > time.Second {
					err = fmt.Errorf("health answered %d after %v", resp.StatusCode, took)
				}
			}
			health[i] = err
		})
	}
	wg.Wait()
	s.orga.FailAll(orga.CallMint, nil)
	return "", errors.Join(late, errors.Join(health...), s.mintAll(ctx, 1, 1, http.StatusOK))
}

var totalMS = regexp.MustCompile(`"total_ms":([0-9.]+)`)

// slowest returns the longest request duration in the log.
func (s *testbed) slowest() (most time.Duration) {
	for _, m := range totalMS.FindAllStringSubmatch(s.Log.String(), -1) {
		took, _ := time.ParseDuration(m[1] + "ms")
		most = max(most, took)
	}
	return most
}

func reset(ctx context.Context, s *testbed) (string, error) {
	s.issuer.delay = 500 * time.Millisecond
	credential, err := s.issuer.token("the one that leaves")
	if err != nil {
		return "", err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(s.Base, "http://"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/orga-client-secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", credential)
	if err := waitFor(ctx, func() bool { return s.issuer.discovery.Load() > 0 }); err != nil {
		return "", err
	}
	others := make(chan error, 1)
	go func() { others <- s.mintAll(ctx, 20, 20, http.StatusOK) }()
	time.Sleep(s.issuer.delay / 2)
	_ = conn.(*net.TCPConn).SetLinger(0) // makes Close reset the connection
	conn.Close()
	return "", errors.Join(<-others, s.fetchedOnce())
}

func burst(ctx context.Context, s *testbed) (string, error) {
	if err := s.mintAll(ctx, 100, 100, http.StatusOK); err != nil {
		return "", fmt.Errorf("the first 100: %w", err)
	}
	before, began := s.cpu(), time.Now()
	if err := s.mintAll(ctx, s.mints, 100, http.StatusOK); err != nil {
		return "", err
	}
	took := time.Since(began)
	cpu := (s.cpu() - before) / time.Duration(s.mints)
	memory, err := s.memory(ctx)
	if err != nil {
		return "", err
	}
	if memory == 0 || memory >= maxMemory {
		return "", fmt.Errorf("the Go program has %d bytes of memory", memory)
	}
	return fmt.Sprintf("%.0f mints per second, %s of CPU each, %.1f MB of Go memory", float64(s.mints)/took.Seconds(), milliseconds(cpu), float64(memory)/1e6), nil
}

// memory returns the Go program's memory in bytes.
func (s *testbed) memory(ctx context.Context) (n int, err error) {
	resp, err := s.get(ctx, "/harness/memory", "")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return n, json.NewDecoder(resp.Body).Decode(&n)
}

// compressed compresses every answer. The runtime decompresses it, but keeps the Content-Encoding header.
func compressed(ctx context.Context, s *testbed) (string, error) {
	for _, server := range []*http.Server{s.upstream.Config, s.issuer.server.Config} {
		h := server.Handler
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, r)
			maps.Copy(w.Header(), answer.Header())
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(answer.Code)
			z := gzip.NewWriter(w)
			_, _ = z.Write(answer.Body.Bytes())
			_ = z.Close()
		})
	}
	return "", s.mintAll(ctx, 20, 20, http.StatusOK)
}

func crash(ctx context.Context, s *testbed) (string, error) {
	for _, how := range []string{"exit", "panic"} {
		if err := s.mintAll(ctx, 1, 1, http.StatusOK); err != nil {
			return "", fmt.Errorf("before the %s: %w", how, err)
		}
		s.orga.FailAll(orga.CallMint, orgatest.Hang())
		before := s.orga.Calls(orga.CallMint)
		waiters := make(chan error, 1)
		go func() { waiters <- s.mintAll(ctx, 20, 20, http.StatusInternalServerError) }()
		if err := waitFor(ctx, func() bool { return s.orga.Calls(orga.CallMint) >= before+20 }); err != nil {
			return "", err
		}
		resp, err := s.get(ctx, "/harness/crash?how="+how, "")
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		s.orga.FailAll(orga.CallMint, nil)
		if err := <-waiters; err != nil {
			return "", fmt.Errorf("%s: %w", how, err)
		}
		if err := s.mintAll(ctx, 1, 1, http.StatusOK); err != nil {
			return "", fmt.Errorf("after the %s: %w", how, err)
		}
	}
	return "", nil
}

// waitFor polls until met returns true.
func waitFor(ctx context.Context, met func() bool) error {
	for !met() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}
