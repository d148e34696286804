// Package entrypoints tests the deployed programs from outside: the Lambda and Netlify binaries behind a fake Runtime API,
// and the Google function under the functions framework, each in its own process.
package entrypoints

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/secret/secrettest"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// programs is the folder with the binaries: aws-lambda, orga-session (Netlify's) and gcp.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "entrypoints")
	if err == nil {
		programs = dir
		err = build()
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build builds for this machine, with otherwise the same flags as the Makefile.
func build() error {
	for module, packages := range map[string][]string{
		"../..": {"./aws-lambda", "./netlify/functions/orga-session"},
		"..":    {"./entrypoints/gcp"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", programs + string(filepath.Separator)}, packages...)...)
		cmd.Dir = module
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return nil
}

// start runs a program with only the given environment until the test ends. The program must run that long, and must not
// print canary, its key, in any form; "" if it has none. It returns the process ID.
func start(t *testing.T, program, canary string, env ...string) int {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(programs, program))
	cmd.Env = env
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case err := <-ended:
			t.Errorf("%s ended by itself: %v", program, err)
		default:
			cancel()
			<-ended
		}
		if canary != "" && secrettest.Leak(output.String(), canary) != "" {
			t.Errorf("fault 17: %s wrote its key as %s", program, secrettest.Leak(output.String(), canary))
		} else if t.Failed() {
			t.Logf("%s wrote:\n%s", program, output.String())
		}
	})
	return cmd.Process.Pid
}

// startLambda runs a program behind a Runtime API.
func startLambda(t *testing.T, program, canary string, env ...string) *lambdaruntime.API {
	t.Helper()
	api, _ := startLambdaProcess(t, program, canary, env...)
	return api
}

// startLambdaProcess is startLambda, with the process's id.
func startLambdaProcess(t *testing.T, program, canary string, env ...string) (*lambdaruntime.API, int) {
	t.Helper()
	api, err := lambdaruntime.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	return api, start(t, program, canary, append(api.Env(), env...)...) // ends before the API does
}

// startGoogle runs the function under the functions framework, and returns once it answers.
func startGoogle(t *testing.T, canary string, env ...string) (base string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the framework cannot choose a free port
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	start(t, "gcp", canary, append([]string{"PORT=" + port}, env...)...)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return "http://" + addr
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("the function does not listen")
		}
	}
}

// request is a client's request, for any platform.
type request struct {
	method, path string // path includes the query
	header       map[string]string
	body         string
}

// answer is the client's view of a response.
type answer struct {
	status int
	header http.Header
	body   string
}

// entrypoint sends a request to one platform's program and returns the answer.
type entrypoint func(t *testing.T, r request) answer

// overHTTP sends requests to the Google function, with the headers of Google's front end.
func overHTTP(base string) entrypoint {
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableCompression: true},
	}
	return func(t *testing.T, r request) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, bytes.NewReader([]byte(r.body)))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range r.header {
			req.Header.Set(name, value)
		}
		req.Header.Set("X-Forwarded-For", clientAddr)
		req.Header.Set("X-Forwarded-Proto", "https")
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{resp.StatusCode, resp.Header, string(body)}
	}
}
