package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/tools/procgroup"
)

// command prepares a tool in dir with env added to the clean environment of a verification.
func (s *suite) command(ctx context.Context, dir string, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(s.environment(), env...)
	procgroup.Set(cmd)
	cmd.Cancel = func() error { return procgroup.Signal(cmd, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a tool and returns its standard output; an error has the last lines of its output.
func (s *suite) run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := s.command(ctx, dir, env, name, args...)
	var out bytes.Buffer
	all := new(procgroup.Log)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, all), all
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s", cmd, err, all.Tail())
	}
	return out.String(), nil
}

// start starts a server and waits until ready succeeds. stopAll stops it.
func (s *suite) start(ctx context.Context, ready func(context.Context) bool, dir string, env []string, name string, args ...string) (*procgroup.Process, error) {
	p, err := procgroup.Start(s.command(ctx, dir, env, name, args...))
	if err != nil {
		return nil, err
	}
	s.stopLater(p)
	return p, p.Await(ctx, ready)
}

// stopLater lets stopAll stop a server.
func (s *suite) stopLater(server interface{ Stop() }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers = append(s.servers, server)
}

func (s *suite) stopAll() {
	s.mu.Lock()
	servers := s.servers
	s.servers = nil
	s.mu.Unlock()
	for _, server := range servers {
		server.Stop()
	}
}

// freePorts returns ports on which nothing listens.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // only now, so that all differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// listens is ready once something listens on addr.
func listens(addr string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		return err == nil && conn.Close() == nil
	}
}

// answers is ready once url answers 200.
func answers(url string) func(context.Context) bool {
	client := &http.Client{Timeout: 20 * time.Second}
	return func(context.Context) bool {
		resp, err := client.Get(url)
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}
}

// environment is the environment of tools: paths, caches and proxies, but no credentials or settings of an account.
func (s *suite) environment() []string {
	env := []string{
		"HOME=" + s.scratch, "CI=true", "NO_COLOR=1", "LANG=C.UTF-8",
		"GOMODCACHE=" + s.goEnv["GOMODCACHE"], "GOCACHE=" + s.goEnv["GOCACHE"], "GOPROXY=" + s.goEnv["GOPROXY"],
		"GOSUMDB=" + s.goEnv["GOSUMDB"], "GOTOOLCHAIN=local",
		"SAM_CLI_TELEMETRY=0", "WRANGLER_SEND_METRICS=false", "AWS_DEFAULT_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true",
		"CLOUDSDK_CONFIG=" + s.scratch + "/gcloud", "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1",
	}
	for _, name := range []string{"PATH", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} { // otherwise, Python and curl would use a proxy even for this machine
		env = append(env, name+"="+strings.TrimPrefix(os.Getenv(name)+",127.0.0.1,localhost", ","))
	}
	return env
}
