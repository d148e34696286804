package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// screen collects the output and reports when the introduction is complete.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	said chan struct{} // closed once the introduction is complete
	once sync.Once
}

func newScreen() *screen { return &screen{said: make(chan struct{})} }

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	if bytes.Contains(s.text.Bytes(), []byte("Press Ctrl-C")) {
		s.once.Do(func() { close(s.said) })
	}
	return len(b), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// start runs a playground on free ports until the test ends, and returns its address.
func start(t *testing.T, settings map[string]string) (home string, out *screen) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out = newScreen()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-port", "0"}, settings, out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the end: %v", err)
		}
	})
	select {
	case <-out.said:
	case err := <-done:
		done <- err
		t.Fatalf("it ended at once: %v\n%s", err, out)
	}
	return regexp.MustCompile(`Page\s+(http://\S+)/`).FindStringSubmatch(out.String())[1], out
}

func get(t *testing.T, url string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	return send(t, http.MethodGet, url, "", headers...)
}

func send(t *testing.T, method, url, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, answer
}

func TestLocal(t *testing.T) {
	home, out := start(t, nil)
	t.Run("output", func(t *testing.T) {
		for _, want := range []string{home + "/\n", "curl -i " + home + endpoint, "HTTP 200 OK", "Server-Timing:", `"ephemeralToken": "`, `"iceServers": [`, "fetchSessionConfig", "make deploy-"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if strings.Contains(out.String(), orga.KeyPrefix) || regexp.MustCompile(`[\w-]+\.[\w-]+\.[\w-]{40,}|"credential": "[^…"]+"`).MatchString(out.String()) {
			t.Errorf("a credential in full is in\n%s", out)
		}
	})
	t.Run("the endpoint", func(t *testing.T) {
		resp, body := get(t, home+endpoint)
		var config struct {
			EphemeralToken string
			ICEServers     []any
			ExpiresIn      int
		}
		if err := json.Unmarshal(body, &config); err != nil || resp.StatusCode != 200 ||
			config.EphemeralToken == "" || len(config.ICEServers) != 2 || config.ExpiresIn < 100 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	t.Run("the endpoint answers any other path", func(t *testing.T) {
		if resp, body := get(t, home+"/nowhere"); resp.StatusCode != 404 || !bytes.Contains(body, []byte("not_found")) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	t.Run("the page", func(t *testing.T) {
		for path, kind := range map[string]string{
			"/": "text/html", "/static/page.js": "text/javascript", "/static/client.js": "text/javascript", "/static/remedies.js": "text/javascript",
			"/static/style.css": "text/css", "/static/icon.svg": "image/svg+xml",
		} {
			resp, body := get(t, home+path)
			if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) || len(body) == 0 {
				t.Errorf("%s: %d, %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
			}
			if !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("%s has no policy", path)
			}
		}
		if resp, _ := get(t, home+"/static/"); resp.StatusCode != 404 {
			t.Errorf("/static/ is listed: %d", resp.StatusCode)
		}
	})
	t.Run("knobs affect the endpoint", func(t *testing.T) {
		knobs := func(body string) {
			t.Helper()
			if resp, answer := send(t, "POST", home+"/playground/knobs", body, "Content-Type", "application/json"); resp.StatusCode != 200 {
				t.Fatalf("%d %s", resp.StatusCode, answer)
			}
		}
		knobs(`{"mint":{"fault":"401"}}`)
		if resp, body := get(t, home+endpoint); resp.StatusCode != 502 || !bytes.Contains(body, []byte("upstream_auth_failed")) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		knobs(`{"mint":{"fault":"503","times":1}}`)
		if resp, body := get(t, home+endpoint); resp.StatusCode != 200 {
			t.Errorf("not retried after a single 503: %d %s", resp.StatusCode, body)
		}
		if resp, _ := send(t, "POST", home+"/playground/knobs", `{"mint":{"fault":"sulks"}}`, "Content-Type", "application/json"); resp.StatusCode != 400 {
			t.Errorf("no such fault: %d", resp.StatusCode)
		}
		if resp, body := get(t, home+"/playground/stats"); resp.StatusCode != 200 || !bytes.Contains(body, []byte(`"minted"`)) {
			t.Errorf("stats: %d %s", resp.StatusCode, body)
		}
	})
	t.Run("pages of other origins are refused", func(t *testing.T) {
		if resp, _ := send(t, "POST", home+"/playground/knobs", `{}`, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 {
			t.Errorf("knobs from another origin: %d", resp.StatusCode)
		}
		if resp, _ := get(t, home+endpoint, "Host", "evil.example"+home[strings.LastIndex(home, ":"):]); resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("another name for this machine: %d", resp.StatusCode)
		}
		if resp, _ := get(t, home+endpoint, "Origin", "https://evil.example"); resp.StatusCode != 403 {
			t.Errorf("mint from another origin: %d", resp.StatusCode)
		}
	})
}

// With ORGA_AUTH set, the page offers the matching credential, and the test request shows the 401.
func TestAuth(t *testing.T) {
	home, out := start(t, map[string]string{
		"ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:SHARED_KEY", "SHARED_KEY": strings.Repeat("k", 32),
	})
	if !strings.Contains(out.String(), "HTTP 401") || !strings.Contains(out.String(), "without Authorization") {
		t.Errorf("it prints\n%s", out)
	}
	if _, body := get(t, home+"/playground/settings"); !bytes.Contains(body, []byte(`"auth":["hmac"]`)) {
		t.Errorf("settings: %s", body)
	}
}

// ORGA_AUTH=hmac alone is enough: the playground makes a key and prints it.
func TestOwnHMACKey(t *testing.T) {
	home, out := start(t, map[string]string{"ORGA_AUTH": "hmac"})
	key := regexp.MustCompile(`HMAC key  (\S+) `).FindStringSubmatch(out.String())
	if key == nil {
		t.Fatalf("it prints no key\n%s", out)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", home+endpoint, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.SignRequest(r, key[1], "user-42"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("a signed request is answered %s", resp.Status)
	}
}

// With a key or a base URL set, the endpoint uses the real Orga.
func TestReal(t *testing.T) {
	upstream := orgatest.New(t)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(orgatest.Key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	home, out := start(t, map[string]string{"ORGA_API_KEY_SOURCE": "file:" + key, "ORGA_BASE_URL": upstream.URL})
	if upstream.Calls(orga.CallMint) != 0 || !strings.Contains(out.String(), "mints a real token") {
		t.Errorf("%d mints upstream before anybody asked\n%s", upstream.Calls(orga.CallMint), out)
	}
	if get(t, home+endpoint); upstream.Calls(orga.CallMint) != 1 {
		t.Errorf("%d mints upstream after a request", upstream.Calls(orga.CallMint))
	}
	if _, body := get(t, home+"/playground/settings"); !bytes.Contains(body, []byte(`"local":false`)) {
		t.Errorf("settings: %s", body)
	}
	if resp, _ := get(t, home+"/playground/stats"); resp.StatusCode != 404 {
		t.Errorf("stats of a cloud that is not there: %d", resp.StatusCode)
	}
	resp, _ := get(t, home+"/")
	if policy := resp.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self' "+upstream.URL+";") {
		t.Errorf("the page may not call Orga: %s", policy)
	}
}

func TestStartErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"an invalid setting", []string{"-port", "0"}, map[string]string{"ORGA_TIMEOUT": "soon"}, "ORGA_TIMEOUT"},
		{"all invalid settings are listed", []string{"-port", "0"}, map[string]string{"ORGA_TIMEOUT": "soon", "ORGA_RATE_LIMIT": "lots"}, "ORGA_RATE_LIMIT"},
		{"an argument", []string{"now"}, nil, `unexpected argument "now"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := run(t.Context(), test.args, test.env, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, nil, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "make run") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// If the port is in use, a free one replaces it, with a message.
func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	var out bytes.Buffer
	other, err := listen(port, &out)
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	if !strings.Contains(out.String(), "127.0.0.1:"+port) || !strings.Contains(out.String(), "make run PORT=") {
		t.Errorf("it says %q", &out)
	}
}

// Ctrl-C ends the process with status 0 and frees its port, even with open requests.
func TestCtrlC(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signal reaches another process")
	}
	binary := filepath.Join(t.TempDir(), "playground")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out := newScreen()
	cmd := exec.CommandContext(t.Context(), binary, "-port", "0")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-out.said:
	case err := <-ended:
		t.Fatalf("it ended at once: %v\n%s", err, out)
	}
	home := regexp.MustCompile(`Page\s+http://(\S+)/`).FindStringSubmatch(out.String())[1]
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatal("it goes on")
	}
	if conn, err := net.Dial("tcp", home); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}
