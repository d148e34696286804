package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

func settings(t *testing.T) core.Env {
	return core.Env{"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": orgatest.New(t).URL, "ORGA_AUTH": "anonymous", "ORGA_LOG_LEVEL": "error"}
}

// output is what the server prints; it prints and the test reads from different goroutines.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs the server until the test ends, or stop is called, and returns its URL.
func start(t *testing.T, set core.Env) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	env := settings(t)
	maps.Copy(env, set)
	out, done := new(output), make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0"}, env, out) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	for deadline := time.Now().Add(10 * time.Second); url == "" && time.Now().Before(deadline); {
		if _, line, ok := strings.Cut(out.String(), "Serving "); ok && strings.HasSuffix(line, "\n") {
			url = strings.TrimSpace(line)
		}
		<-time.After(10 * time.Millisecond)
	}
	return url, stop
}

// dial opens a connection to the server at an address, until the test ends.
func dial(t *testing.T, address string) (*url.URL, net.Conn) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return u, conn
}

func TestServes(t *testing.T) {
	url, stop := start(t, nil)
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var config orga.SessionConfig
	if err := json.NewDecoder(resp.Body).Decode(&config); err != nil || config.Token.Reveal() == "" {
		t.Errorf("%d %v", resp.StatusCode, err)
	}
	if err := stop(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

// A page whose name leads to this machine cannot mint where everybody may: its GET has no Origin.
func TestDNSRebinding(t *testing.T) {
	status := func(address, host string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = strings.Replace(host, "PORT", r.URL.Port(), 1)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	anonymousTenant := core.Env{
		"ORGA_AUTH": "gateway", "ORGA_API_KEY_ACME": orgatest.Key, "ORGA_TENANTS_SOURCE": "env:TENANTS",
		"TENANTS": `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME","auth":"anonymous"}}}`,
	}
	for _, tt := range []struct {
		set  core.Env
		host string
		want int
	}{
		{anonymousTenant, "localhost:PORT", 200},
		{anonymousTenant, "evil.example", 403},
		{nil, "127.0.0.1:PORT", 200},
		{nil, "localhost:PORT", 200},
		{nil, "[::1]:PORT", 200},
		{nil, "evil.example:PORT", 403},
		{nil, "evil.example", 403},
		{nil, "localhost.evil.example:PORT", 403},
		{core.Env{"ORGA_AUTH": " anonymous,\r\n"}, "evil.example", 403},
		{core.Env{"ORGA_ALLOWED_HOSTS": ", \t\r"}, "evil.example", 403},
		{core.Env{"ORGA_ALLOWED_HOSTS": " ,"}, "evil.example", 403},
		{core.Env{"ORGA_AUTH": "anonymous\r"}, "evil.example", 403}, // a file with Windows line ends
		{core.Env{"ORGA_AUTH": "\tanonymous\n"}, "evil.example", 403},
		{core.Env{"ORGA_ALLOWED_HOSTS": "\r"}, "evil.example", 403},
		{core.Env{"ORGA_ALLOWED_HOSTS": ", \t\u00a0"}, "evil.example", 403},
		{core.Env{"ORGA_ALLOWED_HOSTS": "voice.example"}, "voice.example", 200},
		{core.Env{"ORGA_ALLOWED_HOSTS": "voice.example"}, "localhost:PORT", 403},
		{core.Env{"ORGA_AUTH": "gateway"}, "voice.example", 401}, // a page has no credential
	} {
		address, stop := start(t, tt.set)
		if tt.set["TENANTS"] != "" {
			address += "/acme"
		}
		if got := status(address, tt.host); got != tt.want {
			t.Errorf("%v, %s: %d, want %d", tt.set, tt.host, got, tt.want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// In a container on Cloud Run, limits count the address that Google's front end appends; anywhere else, that of the connection.
// Nobody can forge either (fault 30).
func TestCallersOnCloudRun(t *testing.T) {
	for _, tt := range []struct {
		name         string
		set          core.Env
		first, again string // X-Forwarded-For of two callers
		want         int    // the status of the second
	}{
		{"two callers", core.Env{"K_SERVICE": "voice"}, "192.0.2.1", "192.0.2.2", 200},
		{"one caller, forged", core.Env{"K_SERVICE": "voice"}, "192.0.2.1", "9.9.9.9, 192.0.2.1", 429},
		{"two callers behind the owner's proxy", core.Env{"K_SERVICE": "voice", "ORGA_TRUSTED_HOPS": "1"}, "192.0.2.1, 203.0.113.1", "192.0.2.2, 203.0.113.1", 200},
		{"elsewhere", nil, "192.0.2.1", "192.0.2.2", 429},
		{"Knative in a cluster", core.Env{"K_SERVICE": "voice", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "192.0.2.1", "192.0.2.2", 429},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := core.Env{"ORGA_RATE_LIMIT": "1/1h"}
			maps.Copy(set, tt.set)
			address, _ := start(t, set)
			for i, forwarded := range []string{tt.first, tt.again} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Forwarded-For", forwarded)
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if want := []int{200, tt.want}[i]; resp.StatusCode != want {
					t.Errorf("%s: %d, want %d", forwarded, resp.StatusCode, want)
				}
			}
		})
	}
}

// A client that sends requests and reads no answer does not keep its connection.
func TestClientThatReadsNothing(t *testing.T) {
	address, _ := start(t, core.Env{"ORGA_TIMEOUT": "100ms"})
	u, conn := dial(t, address)
	request := strings.Repeat("GET /healthz HTTP/1.1\r\nHost: "+u.Host+"\r\n\r\n", 1000)
	err := conn.SetWriteDeadline(time.Now().Add(3 * writeTimeout))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // until neither side's buffers take more, and then until the server gives up
		_, err = io.WriteString(conn, request)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is still there after %v", 3*writeTimeout)
	}
}

// fault 87: a request whose body does not come ends soon, even if net/http answers it.
func TestMissingBodies(t *testing.T) {
	address, _ := start(t, core.Env{"ORGA_TIMEOUT": "1s"})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"OPTIONS * HTTP/1.1", "OPTIONS / HTTP/1.1", "POST / HTTP/1.1", "POST /healthz HTTP/1.1", "POST " + u.Path + " HTTP/1.1", "PUT * HTTP/1.1",
		"GET http://" + u.Host + u.Path + " HTTP/1.1", "CONNECT " + u.Host + " HTTP/1.1", "PRI * HTTP/2.0", "POST " + u.Path + " HTTP/1.0",
		"POST / HTTP/1.1\r\nExpect: 100-continue", "POST / HTTP/1.1\r\nExpect: nothing", "OPTIONS * HTTP/1.1\r\nConnection: keep-alive",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", u.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprintf(conn, "%s\r\nHost: %s\r\nContent-Length: 100\r\n\r\n", line, u.Host)
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is open after 5 s")
			}
		})
	}
}

// A body has the request's time.
func TestSlowBody(t *testing.T) {
	address, _ := start(t, nil)
	u, conn := dial(t, address)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n", u.Path, u.Host)
	<-time.After(1200 * time.Millisecond)
	fmt.Fprint(conn, "{}")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Error(answer, err)
	}
}

// fault 87: connections and headers without a credential do not add up, and do not keep others out.
func TestManyConnections(t *testing.T) {
	address, _ := start(t, nil)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var first net.Conn
	for range maxConnections + 1 {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: "); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = conn
		}
	}
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a mint: %d", resp.StatusCode)
	}
	if err := first.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil { // a header has five seconds
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first connection is open: %v", err)
	}
}

// Headers have room for a token of 16 KiB (fault 52) and little more.
func TestHeaderSize(t *testing.T) {
	address, _ := start(t, nil)
	for size, want := range map[int]int{1: 200, 16 << 10: 200, 32 << 10: 431} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.Repeat("a", size))
		r.Header.Set("Cookie", strings.Repeat("a", 4<<10))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a token of %d bytes: %d, want %d", size, resp.StatusCode, want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	busy := "127.0.0.1:99999"
	for _, tt := range []struct {
		name     string
		args     []string
		settings core.Env // added to a working minimum
		want     string   // in the error; "" for none
		prints   string
	}{
		{"help", []string{"--help"}, nil, "", "ORGA_RATE_LIMIT_STORE"},
		{"help with an invalid setting", []string{"-h"}, core.Env{"ORGA_AUTH": "x"}, "", "ORGA_AUTH_ISSUER"},
		{"valid settings", []string{"-check"}, nil, "", "All settings are valid."},
		{"invalid settings", []string{"-check"}, core.Env{"ORGA_RATE_LIMIT": "x"}, "settings are invalid", ""},
		{"a misspelled setting", []string{"-check"}, core.Env{"ORGA_AUTHH": "oidc"}, "ORGA_AUTHH is not a setting; did you mean ORGA_AUTH?", ""},
		{"an argument", []string{"serve"}, nil, `unexpected argument "serve"`, ""},
		{"an unknown flag", []string{"-port", "1"}, nil, "-port; see --help", ""},
		{"an invalid address", []string{"-addr", busy}, nil, "choose another address with -addr or PORT", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := settings(t)
			maps.Copy(env, tt.settings)
			out := new(output)
			err := run(t.Context(), tt.args, env, out)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if !strings.Contains(out.String(), tt.prints) {
				t.Errorf("%q is not in\n%s", tt.prints, out)
			}
		})
	}
}

// Every setting is in --help.
func TestHelpHasEverySetting(t *testing.T) {
	out := new(output)
	if err := run(t.Context(), []string{"--help"}, nil, out); err != nil {
		t.Fatal(err)
	}
	for _, s := range core.Settings() {
		if !strings.Contains(out.String(), s.Variable) {
			t.Errorf("%s is missing", s.Variable)
		}
	}
}

func TestListenAddr(t *testing.T) {
	for _, tt := range []struct{ flag, port, want string }{
		{"", "", "127.0.0.1:8080"}, // this machine only
		{"", "3000", ":3000"},
		{"192.0.2.1:80", "3000", "192.0.2.1:80"},
	} {
		if got := listenAddr(tt.flag, core.Env{"PORT": tt.port}); got != tt.want {
			t.Errorf("-addr %q PORT %q: %s, want %s", tt.flag, tt.port, got, tt.want)
		}
	}
}
