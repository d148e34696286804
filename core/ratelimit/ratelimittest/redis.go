package ratelimittest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Redis is a redis-server for one test: on loopback, without persistence, stopped at the end of the test.
type Redis struct {
	Addr string

	t    testing.TB
	args []string
	cmd  *exec.Cmd
}

// StartRedis starts a redis-server with additional arguments. If none is installed, it skips the test, except in CI, where it
// fails it. On Windows, there is none.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" && runtime.GOOS != "windows" {
			t.Fatal("redis-server is not installed, and CI must not skip what it proves")
		}
		t.Skip("redis-server is not installed: the shared limit is not tested (on Debian: apt-get install redis-server)")
	}
	for range 10 { // another process may take the free port
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r := &Redis{t: t, Addr: free.Addr().String(), args: args}
		if err := free.Close(); err != nil {
			t.Fatal(err)
		}
		if r.start() {
			t.Cleanup(r.Kill)
			return r
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

// Start starts the server again after [Redis.Kill].
func (r *Redis) Start() {
	r.t.Helper()
	if !r.start() {
		r.t.Fatal("redis-server does not start again")
	}
}

// start reports whether this server accepts connections; false if another process has its port.
func (r *Redis) start() bool {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(r.Addr)
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", r.t.TempDir()}, r.args...)
	r.cmd = exec.Command("redis-server", args...)
	log, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the server
			return true
		}
	}
	r.Kill()
	return false
}

// Kill ends the server.
func (r *Redis) Kill() {
	_ = r.cmd.Process.Kill() // it may have ended already
	_ = r.cmd.Wait()         // a killed process returns an error
}

// Do sends one command on a new connection. A reply is nil, a string, an int64 or a []any of these; a refusal is an error.
func (r *Redis) Do(args ...any) (any, error) {
	client := redis.NewClient(&redis.Options{Addr: r.Addr, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true})
	defer client.Close()
	reply, err := client.Do(context.Background(), args...).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return reply, err
}

// RedisREST is a fake of Upstash's REST API in front of a redis-server, an [http.Handler]: a command is the JSON array in
// the body of a POST to /.
type RedisREST struct {
	Redis *Redis
	Token string
	// Intercept may answer a request instead of the service, and reports whether it did; nil answers none.
	Intercept func(w http.ResponseWriter, r *http.Request) bool
}

func (h *RedisREST) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // read first: otherwise the context does not end when the client disconnects
	if h.Intercept != nil && h.Intercept(w, r) {
		return
	}
	var command []any
	switch {
	case r.Header.Get("Authorization") != "Bearer "+h.Token:
		RedisRESTError(w, http.StatusUnauthorized, "WRONGPASS invalid or missing auth token")
	case r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost || r.URL.Path != "/" || json.Unmarshal(body, &command) != nil || len(command) == 0:
		RedisRESTError(w, http.StatusBadRequest, "ERR failed to parse command")
	default:
		result, err := h.Redis.Do(command...)
		if err != nil {
			RedisRESTError(w, http.StatusBadRequest, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"result": result}) // fails if the client has disconnected
	}
}

// RedisRESTError answers with an error of the REST API.
func RedisRESTError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": message}) // fails if the client has disconnected
}
