package core_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
)

// The page's table matches the code, and the drivers read no other settings.
func TestSettingsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	known := make(map[string]bool)
	for _, s := range core.Settings() {
		known[s.Variable] = true
		if s.Variable == "" {
			continue
		}
		def := ""
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		member := ""
		if s.Member != "" {
			member = "`" + s.Member + "`"
		}
		table.WriteString("| `" + s.Variable + "` | " + member + " | " + def + " | " + s.Meaning + " |\n")
	}
	if !strings.Contains(string(page), table.String()) {
		t.Errorf("docs/settings.md must have this table:\n%s", table.String())
	}

	record := func(name string) (string, bool) {
		if regexp.MustCompile("^ORGA_").MatchString(name) && !known[name] {
			t.Errorf("%s is read, but is not in the table", name)
		}
		return "", false
	}
	_, _ = awssm.Open(record, true)(secret.Ref{Scheme: "awssm", Name: "name"})
	_, _ = gcpsm.Open(record)(secret.Ref{Scheme: "gcpsm", Name: "projects/p/secrets/s"})
}

// A misspelled setting causes a warning with a suggestion, not a fault.
func TestUnknownVariables(t *testing.T) {
	for _, tt := range []struct {
		variable, warning string // "" for none
	}{
		{"ORGA_CORS_ORIGN", "ORGA_CORS_ORIGN is not a setting; did you mean ORGA_CORS_ORIGINS?"},
		{"ORGA_ALOWED_ORIGINS", "ORGA_ALOWED_ORIGINS is not a setting; did you mean ORGA_CORS_ORIGINS?"}, //nolint:misspell // that is the test
		{"ORGA_RATELIMIT", "ORGA_RATELIMIT is not a setting; did you mean ORGA_RATE_LIMIT?"},
		{"ORGA_FAVOURITE_COLOUR", "ORGA_FAVOURITE_COLOUR is not a setting"},
		{"ORGA_API_KEY_ACME", ""},
		{"ORGA_SHARED_HMAC", ""}, // named by a source
		{"ORGANIZATION", ""},
		{"PATH", ""},
	} {
		d := deploy(t, env{tt.variable: "s3cr3t-value", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:ORGA_SHARED_HMAC"}, nil)
		if d.fault != nil {
			t.Errorf("%s is a fault: %v", tt.variable, d.fault)
		}
		if log := d.log.String(); strings.Contains(log, "is not a setting") != (tt.warning != "") || !strings.Contains(log, tt.warning) || strings.Contains(log, "s3cr3t") {
			t.Errorf("%s: want the warning %q in\n%s", tt.variable, tt.warning, log)
		}
	}
}

// The environment's proxy is ignored, with one warning; a program's own transport may use it.
func TestProxyIsIgnored(t *testing.T) {
	const proxy = "http://user:s3cr3t-value@127.0.0.1:9"
	for _, tt := range []struct {
		name    string
		set     env
		drivers core.Drivers
		want    int
	}{
		{"none", nil, core.Drivers{}, 0},
		{"an empty variable", env{"HTTPS_PROXY": ""}, core.Drivers{}, 0},
		{"in capitals", env{"HTTPS_PROXY": proxy}, core.Drivers{}, 1},
		{"in lower case", env{"https_proxy": proxy}, core.Drivers{}, 1},
		{"both", env{"HTTPS_PROXY": proxy, "https_proxy": proxy}, core.Drivers{}, 1},
		{"a local Orga", env{"HTTPS_PROXY": proxy, "ORGA_BASE_URL": "http://127.0.0.1:1"}, core.Drivers{}, 0},
		{"with a transport", env{"HTTPS_PROXY": proxy}, core.Drivers{Transport: http.DefaultTransport}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			cfg := core.ConfigFromEnv(core.Env(tt.set))
			cfg.Log, cfg.NoWarmUp = slog.New(slog.NewJSONHandler(&log, nil)), true
			core.New(t.Context(), cfg, tt.drivers)
			if n := strings.Count(log.String(), "proxy ignored"); n != tt.want || strings.Contains(log.String(), "s3cr3t") {
				t.Errorf("%d warnings, want %d, and no value:\n%s", n, tt.want, &log)
			}
		})
	}
}

// Mints are accepted at an additional path, and only for listed hosts.
func TestPathAndHosts(t *testing.T) {
	d := deploy(t, env{"ORGA_PATH": "/api/orga/session", "ORGA_ALLOWED_HOSTS": "Voice.example, localhost:8080"}, nil)
	if d.fault != nil {
		t.Fatal(d.fault)
	}
	for target, status := range map[string]int{
		"http://voice.example/api/orga/session":            200,
		"http://localhost:8080/api/orga/session":           200,
		"http://localhost:8080" + mintPath:                 200,
		"http://localhost:8081" + mintPath:                 403, // fault 74
		"http://evil.example/api/orga/session":             403,
		"http://evil.example/healthz":                      200,
		"http://voice.example/api/orga/session/":           404,
		"http://voice.example/api/orga/session/acme":       403, // an unknown tenant
		"http://voice.example/api/orga/session/acme/other": 404,
	} {
		if a := d.ask("GET", target); a.StatusCode != status {
			t.Errorf("%s: %d, want %d", target, a.StatusCode, status)
		}
	}
	for _, set := range []env{
		{"ORGA_PATH": "api"}, {"ORGA_PATH": "/"}, {"ORGA_PATH": "/a/"}, {"ORGA_PATH": "/a//b"}, {"ORGA_PATH": "/a?b"}, {"ORGA_PATH": "/a%20b"},
		{"ORGA_PATH": "/healthz"}, {"ORGA_PATH": "//a"}, {"ORGA_ALLOWED_HOSTS": "https://a.example"}, {"ORGA_ALLOWED_HOSTS": "a.example/"}, {"ORGA_ALLOWED_HOSTS": "*.example"},
	} {
		if d := deploy(t, set, nil); d.fault == nil {
			t.Errorf("%v was accepted", set)
		}
	}
}
