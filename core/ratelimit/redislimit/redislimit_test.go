package redislimit_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/internal/redisscript"
	"github.com/orga-session/orga-session/core/ratelimit/ratelimittest"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
)

func TestMain(m *testing.M) { ratelimittest.Main(m, redislimit.Open) }

func TestConformance(t *testing.T) {
	s := ratelimittest.StartRedis(t)
	ratelimittest.Test(t, ratelimittest.Harness{
		Open:    func(t *testing.T) ratelimit.Limiter { return open(t, "redis://"+s.Addr) },
		Setting: "redis://" + s.Addr,
		SetBack: func(t *testing.T, b ratelimit.Bucket, d time.Duration) {
			if _, err := s.Do("INCRBY", redisscript.Key(b), fmt.Sprint(d.Microseconds())); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// limiter is what a driver opens.
type limiter interface {
	ratelimit.Limiter
	io.Closer
	Ping(context.Context) error
}

// unconnected returns a limiter.
func unconnected(t *testing.T, url string) limiter {
	t.Helper()
	l, err := redislimit.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	return l.(limiter)
}

// open returns a limiter with an open connection.
func open(t *testing.T, url string) limiter {
	t.Helper()
	l := unconnected(t, url)
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := l.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

// one decides one bucket.
func one(l ratelimit.Limiter, key string, q ratelimit.Quota) (ratelimit.Decision, error) {
	decisions, err := l.Allow(context.Background(), []ratelimit.Bucket{{Key: key, Quota: q}})
	if err != nil {
		return ratelimit.Decision{}, err
	}
	return decisions[0], nil
}

var minute = ratelimit.Quota{N: 2, Per: time.Minute}

// Keys have the prefix documented in docs/policy.md, and expire when the full quota is available again.
func TestKeys(t *testing.T) {
	s := ratelimittest.StartRedis(t)
	l := open(t, "redis://"+s.Addr)
	_, err := l.Allow(t.Context(), []ratelimit.Bucket{{Key: "acme:ada", Quota: minute}, {Key: "acme:", Quota: minute}, {Key: ":ada", Quota: minute}})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := s.Do("KEYS", "*")
	if err != nil {
		t.Fatal(err)
	}
	keys := fmt.Sprint(reply)
	for _, key := range []string{"orga-session:{acme:}ada:2/1m0s", "orga-session:{acme:}:2/1m0s", "orga-session:{:}ada:2/1m0s"} {
		ttl, err := s.Do("PTTL", key)
		if n, ok := ttl.(int64); !strings.Contains(keys, key) || !ok || n <= 0 || n > 30_000 {
			t.Errorf("%s lives for %v ms, %v; the keys are %s", key, ttl, err, keys)
		}
	}
}

// Only what the limit needs is sent: on a new connection, a round trip may take longer than a decision may.
func TestCommands(t *testing.T) {
	s := ratelimittest.StartRedis(t)
	l := open(t, "redis://"+s.Addr)
	if _, err := one(l, "acme:ada", minute); err != nil {
		t.Fatal(err)
	}
	stats, err := s.Do("INFO", "commandstats", "errorstats")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(fmt.Sprint(stats)) {
		if _, name, ok := strings.Cut(line, "stat_"); ok {
			name, _, _ = strings.Cut(name, ":")
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if want := "[NOSCRIPT eval evalsha get hello ping set time]"; fmt.Sprint(got) != want {
		t.Errorf("commands and errors: %s, want %s", got, want)
	}
}

// Fault 80: a replica is asked once, and its connections are dropped, too.
func TestConnectionsAreClosed(t *testing.T) {
	for name, end := range map[string]func(*ratelimittest.Redis, limiter) error{
		"by Close": func(_ *ratelimittest.Redis, l limiter) error {
			if err := l.Close(); err != nil {
				return err
			}
			if _, err := one(l, "acme:ada", minute); err == nil || !strings.HasPrefix(err.Error(), "redis: ") {
				return fmt.Errorf("a decision after it: %w", err)
			}
			return nil
		},
		"when the server has become a replica": func(s *ratelimittest.Redis, l limiter) error {
			if _, err := s.Do("REPLICAOF", "127.0.0.1", "1"); err != nil {
				return err
			}
			_, refused := one(l, "acme:ada", minute)
			stats, err := s.Do("INFO", "errorstats")
			if err == nil && !strings.Contains(fmt.Sprint(stats), "errorstat_READONLY:count=1\r") {
				err = fmt.Errorf("%w; the server counts %s", refused, stats)
			}
			return err
		},
	} {
		s := ratelimittest.StartRedis(t)
		l := open(t, "redis://"+s.Addr)
		burst(l)
		if n := clients(t, s); n == 0 {
			t.Errorf("%s: no connection before", name)
		}
		if err := end(s, l); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := clients(t, s); n != 0 {
			t.Errorf("%s: %d connections", name, n)
		}
	}
}

// clients returns the number of the server's connections, without the one that asks.
func clients(t *testing.T, s *ratelimittest.Redis) int {
	t.Helper()
	list, err := s.Do("CLIENT", "LIST")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(fmt.Sprint(list), "\n") - 1
}

// A burst uses the instance's few connections, and each of its callers is counted.
func TestBurstIsBatched(t *testing.T) {
	s := ratelimittest.StartRedis(t)
	l := open(t, "redis://"+s.Addr)
	q := ratelimit.Quota{N: 30, Per: time.Hour}
	var allowed, late atomic.Int32 // on a busy machine, some of the burst wait for longer than the limit of a decision
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			d, err := one(l, "acme:ada", q)
			if err != nil {
				late.Add(1)
			}
			if d.Allowed {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if got, n := allowed.Load(), clients(t, s); got == 0 || got > 30 || got < 30 && late.Load() == 0 || n > 4 {
		t.Errorf("%d of 200 allowed, %d late, on %d connections", got, late.Load(), n)
	}
}

func TestFault29FallsBackAndRecovers(t *testing.T) {
	t.Run("the server is killed", func(t *testing.T) {
		t.Parallel()
		s := ratelimittest.StartRedis(t)
		ratelimittest.TestOutage(t, open(t, "redis://"+s.Addr), ratelimittest.Outage{Begin: s.Kill, End: s.Start, Cause: "redis: "})
	})
	t.Run("the server hangs", func(t *testing.T) {
		t.Parallel()
		s := ratelimittest.StartRedis(t)
		if !s.Pause() {
			t.Skip("no process can be stopped here")
		}
		s.Resume()
		ratelimittest.TestOutage(t, open(t, "redis://"+s.Addr), ratelimittest.Outage{
			Begin: func() { s.Pause() }, End: s.Resume, Cause: "redis: ",
		})
	})
	// Fault 80: the log has the word of a refusal, and the store is used again once it stops refusing.
	do := func(t *testing.T, s *ratelimittest.Redis, args ...any) func() {
		return func() {
			if _, err := s.Do(args...); err != nil {
				t.Error(err)
			}
		}
	}
	for _, refusal := range []struct {
		word       string
		begin, end []any
	}{
		{"READONLY", []any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
		{"OOM", []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		{"NOPERM", []any{"ACL", "SETUSER", "default", "-set"}, []any{"ACL", "SETUSER", "default", "+set"}},
	} {
		t.Run("fault 80: "+refusal.word, func(t *testing.T) {
			t.Parallel()
			s := ratelimittest.StartRedis(t)
			ratelimittest.TestOutage(t, open(t, "redis://"+s.Addr), ratelimittest.Outage{
				Begin: do(t, s, refusal.begin...), End: do(t, s, refusal.end...), Cause: "redis: the server refused: " + refusal.word,
			})
		})
	}
}

// Fault 80: connections to a server that has become a replica are dropped, because the primary's name now resolves elsewhere.
func TestFault80PrimaryMoves(t *testing.T) {
	old, primary := ratelimittest.StartRedis(t), ratelimittest.StartRedis(t)
	var to atomic.Value
	to.Store(old.Addr)
	name := forward(t, &to)
	l := open(t, "redis://"+name)
	burst(l)
	if _, err := old.Do("REPLICAOF", "127.0.0.1", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := one(l, "acme:ada", minute); err == nil || !strings.HasSuffix(err.Error(), "READONLY") {
		t.Errorf("%v, want READONLY", err)
	}
	to.Store(primary.Addr)
	for range 8 {
		if _, err := one(l, "acme:bob", ratelimit.Quota{N: 99, Per: time.Minute}); err != nil {
			t.Errorf("the new primary is not found: %v", err)
		}
	}
}

// burst opens all the connections that l may have.
func burst(l limiter) {
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() { _, _ = one(l, "acme:many", minute) })
	}
	wg.Wait()
}

// forward simulates a name: connections lead to its target at the time when they were opened.
func forward(t *testing.T, to *atomic.Value) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return // the test has ended
			}
			out, err := net.Dial("tcp", to.Load().(string))
			if err != nil {
				_ = in.Close()
				continue
			}
			pipe := func(a, b net.Conn) {
				_, _ = io.Copy(a, b) // ends when either side closes
				_ = a.Close()
				_ = b.Close()
			}
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
	return ln.Addr().String()
}

// scheduling is the delay that a busy machine may add to a decision. The bound of 100 ms itself is tested in synctest, where
// nothing else takes time.
const scheduling = 50 * time.Millisecond

const canary = "canary-password-of-a-test"

// Fault 80: decisions and pings report the same word of a refusal.
func TestPasswords(t *testing.T) {
	s := ratelimittest.StartRedis(t, "--requirepass", canary)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, tt := range []struct{ name, user, want string }{
		{"right", ":" + canary + "@", ""},
		{"wrong", ":wrong-" + canary + "@", "WRONGPASS"},
		{"missing", "", "NOAUTH"},
	} {
		l := unconnected(t, "redis://"+tt.user+s.Addr)
		defer l.Close()
		_, decision := one(l, "acme:ada", minute)
		for _, err := range []error{l.Ping(ctx), decision} {
			if (err == nil) != (tt.want == "") || err != nil && !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

// The permissions in docs/policy.md suffice.
func TestLeastPrivileges(t *testing.T) {
	s := ratelimittest.StartRedis(t, strings.Fields("--user orga on >"+canary+" ~orga-session:* +eval +evalsha +get +set +time +ping")...)
	l := open(t, "redis://orga:"+canary+"@"+s.Addr)
	for range 2 { // EVAL, then EVALSHA
		if _, err := one(l, "acme:ada", minute); err != nil {
			t.Error(err)
		}
	}
}

// answering returns the address of a server with one answer to a greeting, and another to everything else.
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

// An unexpected answer (from a broken proxy) is a failure of the store: it neither panics nor is quoted.
func TestUnexpectedAnswers(t *testing.T) {
	const older = "-ERR unknown command\r\n" // a server that knows no greeting
	for _, tt := range []struct{ hello, answer string }{
		{older, "+OK\r\n"},
		{older, ":1\r\n"},
		{older, "$-1\r\n"},
		{older, "*0\r\n"},
		{older, "*2\r\n:1\r\n:1\r\n"},
		{older, "*2\r\n:0\r\n:0\r\n"},
		{older, "*2\r\n:2\r\n:1\r\n"},
		{older, "*2\r\n:1\r\n:99000000000\r\n"},
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
		l := unconnected(t, "redis://"+answering(t, tt.hello, tt.answer))
		defer l.Close()
		if _, err := one(l, "ada", ratelimit.Quota{N: 1, Per: time.Second}); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", tt, err)
		}
	}
}

// Fault 17: some servers quote the command in their error, and with it the password.
func TestServersThatRepeatThePassword(t *testing.T) {
	const refusal = "-ERR unknown command, with args beginning with: `" + canary + "`\r\n"
	l := unconnected(t, "redis://:"+canary+"@"+answering(t, refusal, refusal))
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
		"rediss://localhost?skip_verify=true", "redis://localhost?" + canary, "redis://localhost#" + canary, "redis://a b", "redis://:::", "redis://localhost:", "redis://localhost:0", "redis://localhost:99999", "redis://:6379",
	} {
		if _, err := redislimit.Open(url); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"redis://localhost", "rediss://user:" + canary + "@store.example:6380/2", "redis://[::1]:6379"} {
		_ = unconnected(t, url).Close()
	}
}

func TestServerDown(t *testing.T) {
	l := unconnected(t, "redis://:"+canary+"@127.0.0.1:1")
	defer l.Close()
	start := time.Now()
	_, err := one(l, "ada", ratelimit.Quota{N: 1, Per: time.Second})
	if took := time.Since(start); err == nil || took > 100*time.Millisecond+scheduling || strings.Contains(err.Error(), canary) {
		t.Errorf("%v after %v", err, took)
	}
}
