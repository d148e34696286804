//go:build linux

// Package freeze stops the Lambda binary between two invocations, as Lambda does, while its connections to Orga end
// in every possible way. No caller may notice. It needs Linux: macOS ignores SSL_CERT_FILE, and Windows cannot stop a
// process by a signal.
//
// The long freeze that outlives all idle timeouts is run with
//
//	go test ./freeze -freeze 70s
package freeze

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/tools/lambdaevent"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

var long = flag.Duration("freeze", 200*time.Millisecond, "how long the binary is stopped")

// function is a running Lambda binary, with Orga behind a proxy.
type function struct {
	process *os.Process
	runtime *lambdaruntime.API
	proxy   *orgatest.Proxy
}

func start(t *testing.T) *function {
	t.Helper()
	api := orgatest.NewTLS(t)
	proxy, err := orgatest.NewProxy(api.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	runtime, err := lambdaruntime.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	binary, roots := filepath.Join(dir, "bootstrap"), filepath.Join(dir, "roots.pem")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", binary, "github.com/orga-session/orga-session/aws-lambda")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	if err := os.WriteFile(roots, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(runtime.Env(), "SSL_CERT_FILE="+roots, "ORGA_BASE_URL=https://"+proxy.Addr(),
		"ORGA_API_KEY="+orgatest.Key, "ORGA_AUTH=anonymous", "ORGA_RATE_LIMIT=off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = runtime.Close()
		_ = cmd.Wait() // it exits with an error when its API is gone
	})
	<-runtime.Ready()
	return &function{cmd.Process, runtime, proxy}
}

// invoke requests a session config, and returns how long it took.
func (f *function) invoke(t *testing.T) time.Duration {
	t.Helper()
	event, err := json.Marshal(lambdaevent.HTTPAPI(lambdaevent.Request{
		Method: "GET", Path: "/api/orga-client-secrets", Host: "endpoint.example", Addr: "192.0.2.1", ID: "r",
	}))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	response, err := f.runtime.Invoke(context.Background(), event, lambdaruntime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status int    `json:"statusCode"`
		Body   string `json:"body"`
	}
	if err := json.Unmarshal(response, &answer); err != nil || answer.Status != 200 {
		t.Errorf("%v: %s", err, response)
	}
	return time.Since(begin)
}

// freeze stops the process for d, and calls meanwhile while it is stopped.
func (f *function) freeze(t *testing.T, d time.Duration, meanwhile func()) {
	t.Helper()
	if err := f.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	<-time.After(d)
	if err := f.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// faults 37, 38: the connections end while the function is frozen.
func TestFreeze(t *testing.T) {
	f := start(t)
	f.invoke(t)
	for name, meanwhile := range map[string]func(){
		"nothing": func() {},
		"closed":  f.proxy.Cut,
		"reset":   f.proxy.Reset,
		"silent":  f.proxy.Swallow,
	} {
		t.Run(name, func(t *testing.T) {
			opened := f.proxy.Opened()
			f.freeze(t, *long, meanwhile)
			took := f.invoke(t)
			t.Logf("answered after %v, %d new connections", took.Round(time.Millisecond), f.proxy.Opened()-opened)
			if took := f.invoke(t); took > time.Second {
				t.Errorf("the next one took %v", took)
			}
		})
	}
	t.Run("closed, a hundred times", func(t *testing.T) {
		for range 100 {
			f.freeze(t, 0, f.proxy.Cut)
			f.invoke(t)
		}
	})
}
