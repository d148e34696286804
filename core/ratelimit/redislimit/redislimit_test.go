package redislimit_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
)

// callerEnv makes the test binary one of the processes of fault 28 instead of a test.
const callerEnv = "ORGA_TEST_REDIS_CALLER"

func TestMain(m *testing.M) {
	if url := os.Getenv(callerEnv); url != "" {
		call(url)
		return
	}
	os.Exit(m.Run())
}

// shared is the quota of fault 28; its period is long, so that nothing comes back during the test.
var shared = ratelimit.Quota{N: 50, Per: 10 * time.Hour}

const callsEach = 25

// call is a process of fault 28: for each line on standard input, a key, it asks 25 times at once, and
// says how many were allowed, refused and not decided.
func call(url string) {
	l, err := redislimit.New(url)
	if err != nil {
		panic(err)
	}
	at25 := func(do func()) {
		var wg sync.WaitGroup
		for range callsEach {
			wg.Go(do)
		}
		wg.Wait()
	}
	at25(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = l.Ping(ctx) // the first to fail will be seen in the counts
	})
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var mu sync.Mutex
		var counts [3]int
		at25(func() {
			d, err := one(l, lines.Text(), shared)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				counts[2]++
			case d.Allowed:
				counts[0]++
			default:
				counts[1]++
			}
		})
		fmt.Println(counts[0], counts[1], counts[2])
	}
}

func TestFault28EightProcessesShareOneLimit(t *testing.T) {
	s := startServer(t)
	type process struct {
		in  io.Writer
		out *bufio.Reader
	}
	var processes []process
	for range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), callerEnv+"="+s.url(), "GORACE=atexit_sleep_ms=0") // which sleeps a second otherwise
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = in.Close() // ends it
			_ = cmd.Wait()
		})
		processes = append(processes, process{in, bufio.NewReader(out)})
	}
	for _, p := range processes {
		if line, err := p.out.ReadString('\n'); line != "ready\n" {
			t.Fatalf("a process says %q, %v", line, err)
		}
	}
	// A machine with too much to do may not decide one of 200 calls in 80 ms. That run proves nothing
	// exact, and the next one, with a key of its own, is looked at.
	for run := range 5 {
		for _, p := range processes {
			fmt.Fprintf(p.in, "run-%d\n", run)
		}
		var allowed, refused, undecided int
		for _, p := range processes {
			var a, r, u int
			if _, err := fmt.Fscanln(p.out, &a, &r, &u); err != nil {
				t.Fatal(err)
			}
			allowed, refused, undecided = allowed+a, refused+r, undecided+u
		}
		if allowed > shared.N {
			t.Fatalf("%d allowed, %d refused, %d undecided; want at most %d allowed", allowed, refused, undecided, shared.N)
		}
		if undecided == 0 {
			if allowed != shared.N || refused != 8*callsEach-shared.N {
				t.Errorf("%d allowed and %d refused, want %d and %d", allowed, refused, shared.N, 8*callsEach-shared.N)
			}
			return
		}
		t.Logf("run %d: %d of 200 not decided in time", run, undecided)
	}
	t.Error("no run of five was decided in time")
}

// one asks for one bucket.
func one(l ratelimit.Limiter, key string, q ratelimit.Quota) (ratelimit.Decision, error) {
	decisions, err := l.Allow(context.Background(), []ratelimit.Bucket{{Key: key, Quota: q}})
	if err != nil {
		return ratelimit.Decision{}, err
	}
	return decisions[0], nil
}

func TestAllow(t *testing.T) {
	s := startServer(t)
	l := open(t, s.url())
	q := ratelimit.Quota{N: 2, Per: 20 * time.Second}
	for i, want := range []ratelimit.Decision{{Allowed: true, Remaining: 1}, {Allowed: true}, {}, {}} {
		d, err := one(l, "acme:ada", q)
		if err != nil || d.Allowed != want.Allowed || d.Remaining != want.Remaining {
			t.Errorf("call %d: %+v, %v; want %+v", i, d, err, want)
		}
		if d.Allowed != (d.Retry == 0) || d.Retry > 10*time.Second || d.Reset <= 0 || d.Reset > q.Per {
			t.Errorf("call %d: Retry %v, Reset %v", i, d.Retry, d.Reset)
		}
	}
	if d, err := one(l, "acme:bob", q); err != nil || !d.Allowed {
		t.Errorf("another caller: %+v, %v", d, err)
	}
	for _, key := range s.keys(t.Context()) {
		if !strings.HasPrefix(key, "orga-session:{acme:}") {
			t.Errorf("key %q", key)
		}
	}
}

// Who has used up one quota is not held to its period under the next.
func TestAnotherQuotaStartsWhole(t *testing.T) {
	l := open(t, startServer(t).url())
	for _, q := range []ratelimit.Quota{{N: 1, Per: 24 * time.Hour}, {N: 1, Per: time.Minute}, {N: 2, Per: time.Minute}} {
		for i := range q.N + 1 {
			if d, err := one(l, "acme:ada", q); err != nil || d.Allowed != (i < q.N) || d.Retry > q.Per {
				t.Errorf("%v, call %d: %+v, %v", q, i, d, err)
			}
		}
	}
}

// A burst travels together, on the few connections that an instance has, and each caller of it is counted.
func TestBurstTravelsTogether(t *testing.T) {
	s := startServer(t)
	l := open(t, s.url())
	q := ratelimit.Quota{N: 30, Per: time.Hour}
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			d, err := one(l, "acme:ada", q)
			if err != nil {
				t.Error(err)
			}
			if d.Allowed {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	client := redis.NewClient(&redis.Options{Addr: s.addr})
	defer client.Close()
	open, err := client.ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(open, "\n") - 1; allowed.Load() != 30 || n > 4 { // this client's own aside
		t.Errorf("%d of 200 allowed on %d connections", allowed.Load(), n)
	}
}

// open makes a limiter with a connection.
func open(t *testing.T, url string) *redislimit.Limiter {
	t.Helper()
	l, err := redislimit.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := l.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

// outage is a way in which a server goes away in the middle of a run, and comes back.
type outage struct {
	name     string
	go_, end func(*server)
}

// outages has one more where a process can be stopped by a signal (server_unix_test.go).
var outages = []outage{
	{"is killed", func(s *server) { s.kill() }, func(s *server) { s.start() }},
}

func TestFault29DegradesAndRecovers(t *testing.T) {
	for _, outage := range outages {
		t.Run("the server "+outage.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			var log safeBuffer
			l := ratelimit.NewStore(open(t, s.url()), ratelimit.StoreOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
			q := ratelimit.Quota{N: 3, Per: 10 * time.Hour}
			var slowest time.Duration
			allow := func(key string) bool {
				t.Helper()
				start := time.Now()
				d, err := one(l, key, q)
				slowest = max(slowest, time.Since(start))
				if err != nil {
					t.Fatal(err)
				}
				return d.Allowed
			}
			for range q.N {
				if !allow("ada") {
					t.Fatal("refused too early")
				}
			}

			outage.go_(s)
			slowest = 0
			for i := range 100 {
				if allowed := allow("ada"); allowed != (i < q.N) {
					t.Fatalf("call %d of the outage: allowed %v; want the instance's own limit, from zero", i, allowed)
				}
			}
			t.Logf("slowest decision of the outage: %s", millis(slowest))
			if slowest > 100*time.Millisecond+scheduling {
				t.Errorf("a decision took %v, want 100 ms at most", slowest)
			}

			outage.end(s)
			n := 0
			eventually(t, "the limit is shared again", func() bool {
				n++
				allow(fmt.Sprintf("probe-%d", n))
				return strings.Contains(log.String(), "level=INFO")
			})
			if n := strings.Count(log.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings for one outage:\n%s", n, log.String())
			}
			if len(s.keys(t.Context())) == 0 {
				t.Error("nothing is counted in the server")
			}
		})
	}
}

func TestFault29Strict(t *testing.T) {
	for _, outage := range outages {
		t.Run("the server "+outage.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			h := request.Handler(ratelimit.Middleware(ratelimit.Options{Limiter: open(t, s.url()), Caller: ratelimit.Quotas{{N: 3, Per: time.Hour}}})(
				http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })), slog.New(slog.DiscardHandler))
			ask := func() *httptest.ResponseRecorder {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				return w
			}
			if w := ask(); w.Code != http.StatusOK {
				t.Fatalf("before: %d", w.Code)
			}
			outage.go_(s)
			start := time.Now()
			w := ask()
			if took := time.Since(start); took > 100*time.Millisecond+scheduling {
				t.Errorf("decided after %v, want within 100 ms", took)
			}
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "limiter_unavailable") || w.Header().Get("Retry-After") != "1" {
				t.Errorf("%d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
			outage.end(s)
			eventually(t, "it counts again", func() bool { return ask().Code == http.StatusOK })
		})
	}
}

// scheduling is what a busy machine may add to a decision. That the decision itself is within 100 ms is
// measured in synctest, where nothing else takes time.
const scheduling = 50 * time.Millisecond

const canary = "canary-password-of-a-test"

func TestPasswords(t *testing.T) {
	s := startServer(t, "--requirepass", canary)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, tt := range []struct{ name, user, want string }{
		{"right", ":" + canary + "@", ""},
		{"wrong", ":wrong-" + canary + "@", "WRONGPASS"},
		{"missing", "", "NOAUTH"},
	} {
		l, err := redislimit.New("redis://" + tt.user + s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		err = l.Ping(ctx)
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// The rights that docs/policy.md asks for are enough.
func TestLeastRights(t *testing.T) {
	s := startServer(t, strings.Fields("--user orga on >"+canary+" ~orga-session:* +eval +evalsha +get +set +time +ping")...)
	l := open(t, "redis://orga:"+canary+"@"+s.addr)
	for range 2 { // EVAL, then EVALSHA
		if _, err := one(l, "acme:ada", ratelimit.Quota{N: 2, Per: time.Minute}); err != nil {
			t.Error(err)
		}
	}
}

// answering is the address of a server that has one answer to a greeting, and one to all else.
func answering(t *testing.T, hello, answer string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // the test has ended
			}
			go func() {
				defer conn.Close()
				for buf := make([]byte, 4096); ; {
					n, err := conn.Read(buf)
					switch {
					case err != nil:
						return
					case bytes.Contains(buf[:n], []byte("hello")):
						fmt.Fprint(conn, hello)
					default:
						fmt.Fprint(conn, answer)
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// What is no answer to our question (a broken proxy's) is a failure of the store, and neither a panic nor
// something to repeat.
func TestAnswersOfAnotherShape(t *testing.T) {
	const older = "-ERR unknown command\r\n" // a server that knows no greeting
	for _, tt := range []struct{ hello, answer string }{
		{older, "+OK\r\n"},
		{older, ":1\r\n"},
		{older, "$-1\r\n"},
		{older, "*0\r\n"},
		{older, "*2\r\n:1\r\n:1\r\n"},
		{older, "*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n"},
		{older, "*4\r\n+1\r\n+1\r\n+1\r\n+1\r\n"},
		{older, "*4\r\n:1\r\n:1\r\n+" + canary + "\r\n+1\r\n"},
		{older, "*4\r\n:1\r\n:1\r\n+1\r\n+" + canary + "\r\n"},
		{older, "*" + canary + "\r\n"},
		{older, "!" + canary + "\r\n"},
		{older, canary + "\r\n"},
		{canary + "\r\n", ""},
		{"+" + canary + "\r\n", ""},
		{"HTTP/1.1 400 " + canary + "\r\n\r\n", ""},
	} {
		l, err := redislimit.New("redis://" + answering(t, tt.hello, tt.answer))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		h := request.Handler(ratelimit.Middleware(ratelimit.Options{Limiter: l, Caller: ratelimit.Quotas{{N: 3, Per: time.Hour}}})(http.NotFoundHandler()), slog.New(slog.DiscardHandler))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "limiter_unavailable") {
			t.Errorf("%q: %d %s", tt, w.Code, w.Body)
		}
		if _, err := one(l, "ada", ratelimit.Quota{N: 1, Per: time.Second}); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", tt, err)
		}
	}
}

// Some servers repeat in their error what they did not understand: fault 17 for the password.
func TestServersThatRepeatThePassword(t *testing.T) {
	const refusal = "-ERR unknown command, with args beginning with: `" + canary + "`\r\n"
	l, err := redislimit.New("redis://:" + canary + "@" + answering(t, refusal, refusal))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, allowErr := one(l, "ada", ratelimit.Quota{N: 1, Per: time.Second})
	for _, err := range []error{allowErr, l.Ping(t.Context())} {
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%v", err)
		}
	}
}

func TestNewFaults(t *testing.T) {
	for _, url := range []string{
		"", "memory", "http://" + canary + "@localhost", "unix://" + canary + "/tmp/x", "redis://", "redis://:" + canary + "@", "rediss:///0",
		"redis://:" + canary + "%zz@localhost", "redis://:" + canary + "@localhost:port", "redis://localhost/" + canary, "redis://localhost/0/1",
		"rediss://localhost?skip_verify=true", "redis://localhost?" + canary, "redis://localhost#" + canary, "redis://a b",
	} {
		if _, err := redislimit.New(url); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"redis://localhost", "rediss://user:" + canary + "@store.example:6380/2", "redis://[::1]:6379"} {
		l, err := redislimit.New(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		_ = l.Close()
	}
}

func TestNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close() // nobody listens here now
	l, err := redislimit.New("redis://:" + canary + "@" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start := time.Now()
	_, err = one(l, "ada", ratelimit.Quota{N: 1, Per: time.Second})
	if took := time.Since(start); err == nil || took > 100*time.Millisecond+scheduling || strings.Contains(err.Error(), canary) {
		t.Errorf("%v after %v", err, took)
	}
}

// safeBuffer is a buffer that a logger of another goroutine may write to.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
