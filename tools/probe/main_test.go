package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/orga-session/orga-session/tools/probe/probe"
)

// TestMain unsets the proxies: through one, an unknown host name would be the proxy's error.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		_ = os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// working is an endpoint without TURN servers, so that it works with one warning.
func working(t *testing.T) string {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Header.Get("Authorization") != "Bearer let-me-in" {
			http.Error(w, "", http.StatusForbidden)
			return
		}
		n++
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"ephemeralToken": strings.Repeat("t", n), "iceServers": []any{}, "expiresIn": 60,
		})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestExitCode(t *testing.T) {
	const auth = "Authorization: Bearer let-me-in"
	tests := []struct {
		name   string
		args   func(url string) []string
		code   int
		stdout string
		stderr string
	}{
		{"works", func(u string) []string { return []string{"--header", auth, u} }, 0, "It works", ""},
		{"flags after the address", func(u string) []string { return []string{u, "--header", auth} }, 0, "It works", ""},
		{"works, as JSON", func(u string) []string { return []string{"--json", "--header", auth, u} }, 0, `"outcome": "works"`, ""},
		{"broken", func(u string) []string { return []string{u} }, 1, "It does not work", ""},
		{"no such name", func(string) []string { return []string{"https://no-such-host.invalid"} }, 2, "could not run", ""},
		{"no address", func(string) []string { return nil }, 2, "", "Usage"},
		{"two addresses", func(u string) []string { return []string{u, u} }, 2, "", "Usage"},
		{"unknown flag", func(u string) []string { return []string{"--nope", u} }, 2, "", "not defined"},
		{"a timeout of zero", func(u string) []string { return []string{"--timeout", "0s", u} }, 2, "", "Usage"},
		{"a header without a name", func(u string) []string { return []string{"--header", "Bearer let-me-in", u} }, 2, "", "want 'Name: value'"},
		{"origin as a header", func(u string) []string { return []string{"--header", "origin: https://a", u} }, 2, "", "--origin"},
		{"help", func(string) []string { return []string{"--help"} }, 0, "mints two tokens", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), test.args(working(t)), &stdout, &stderr, false)
			if code != test.code || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("exit %d, want %d\n%s\n%s", code, test.code, stdout.String(), stderr.String())
			}
			if all := stdout.String() + stderr.String(); strings.Contains(all, "let-me-in") {
				t.Errorf("the credential is shown:\n%s", all)
			}
			if strings.Contains(stdout.String(), "\x1b[") {
				t.Error("colour without a terminal")
			}
		})
	}
}

func TestChecklistIsAligned(t *testing.T) {
	r := probe.Report{URL: "https://host/path", Outcome: probe.Broken, Checks: []probe.Check{
		{ID: "tls", Status: probe.OK, Detail: "TLS 1.3"},
		{ID: "cors.request", Status: probe.Fail, Detail: "no", Remedy: "add it"},
		{ID: "turn", Target: "turn:host:1", Status: probe.Warn, Detail: "hm"},
	}}
	var out bytes.Buffer
	if err := r.Print(&out, false); err != nil {
		t.Fatal(err)
	}
	want := `https://host/path

✓ tls             TLS 1.3
✗ cors.request    no
                  → add it
! turn            turn:host:1  hm

It does not work. Failed: 1, warnings: 1, tokens minted: 0.
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

// What the endpoint answers cannot manipulate the terminal.
func TestNoControlCharacters(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "\u009b2J")
		_, _ = io.WriteString(w, `{"ephemeralToken":"a\u009b","iceServers":[{"urls":"turn:\u009b2J\u202e.invalid","username":"u","credential":"c"}]}`)
	}))
	defer s.Close()
	for _, args := range [][]string{{s.URL}, {"--json", s.URL}} {
		var stdout bytes.Buffer
		run(t.Context(), args, &stdout, &stdout, false)
		if out := stdout.String(); !strings.Contains(out, "2J.invalid") || strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%v: %q", args, out)
		}
	}
}

func TestInterruptedIsNotBroken(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	}))
	defer s.Close()
	var stdout bytes.Buffer
	if code := run(ctx, []string{s.URL}, &stdout, &stdout, false); code != 2 || !strings.Contains(stdout.String(), "interrupted") {
		t.Errorf("exit %d\n%s", code, stdout.String())
	}
}
