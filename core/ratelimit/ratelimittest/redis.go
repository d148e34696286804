package ratelimittest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
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
func (r *Redis) Do(args ...string) (any, error) {
	conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return readReply(bufio.NewReader(conn))
}

// readReply parses a reply of RESP 2.
func readReply(in *bufio.Reader) (any, error) {
	line, err := in.ReadString('\n')
	if err != nil || len(line) < 3 {
		return nil, errors.Join(err, errors.New("no reply"))
	}
	kind, text := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '+':
		return text, nil
	case '-':
		return nil, errors.New(text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || kind == ':' || n < 0 { // a negative length means nil
		if kind == ':' {
			return n, err
		}
		return nil, err
	}
	if kind == '$' {
		text := make([]byte, n+2)
		_, err := io.ReadFull(in, text)
		return string(text[:n]), err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = readReply(in); err != nil {
			return nil, err
		}
	}
	return list, nil
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
	var command []string
	switch {
	case r.Header.Get("Authorization") != "Bearer "+h.Token:
		RedisRESTError(w, http.StatusUnauthorized, "WRONGPASS invalid or missing auth token")
	case r.Method != http.MethodPost || r.URL.Path != "/" || json.Unmarshal(body, &command) != nil || len(command) == 0:
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
