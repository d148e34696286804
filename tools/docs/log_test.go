package docs

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// samples returns the log lines in a page's code blocks. A line may be wrapped after a member.
func (p page) samples() []string {
	return regexp.MustCompile(`(?s)\{"time".*?\}\n`).FindAllString(p.code, -1)
}

// members returns the names in a JSON object, in order.
func members(t *testing.T, line string) []string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	var names []string
	for depth, key := 0, true; ; {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			if depth--; depth == 0 {
				return names
			}
			key = depth == 1
		default:
			if depth == 1 && key {
				names = append(names, token.(string))
			}
			key = depth == 1 && !key
		}
	}
}

// The sample line in docs/operate.md is like a real one, and each member is explained.
func TestRequestLine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the clock is too coarse: a cached key takes no time, and what took none is not in the line")
	}
	api := orgatest.New(t)
	api.Fail(orga.CallMint, orgatest.Status(200, `{"ephemeral_token":"t","ttl":120}`, "X-Request-Id", "req_1"))
	api.Fail(orga.CallICE, orgatest.Status(200, `[{"urls":"stun:stun.example"}]`))
	settings := map[string]string{
		"ORGA_CORS_ORIGINS": "https://app.example", "ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": api.URL, "ORGA_AUTH": "test",
		"ORGA_TENANTS_SOURCE": "env:TENANTS", "TENANTS": `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME"}}}`, "ORGA_API_KEY_ACME": orgatest.Key,
	}
	cfg := core.ConfigFromEnv(settings)
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	endpoint := core.New(t.Context(), cfg, core.Drivers{
		Verifiers: map[string]auth.Verifier{"test": auth.VerifierFunc(func(*http.Request) (auth.Principal, error) {
			return auth.Principal{Subject: "someone", Issuer: "https://id.example"}, nil
		})},
	})
	if err := endpoint.Faults(); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	r := httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets/acme", nil)
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	endpoint.ServeHTTP(httptest.NewRecorder(), r)

	files := tree(t)
	operate := pageNamed(t, files, "docs/operate.md")
	samples := operate.samples()
	if len(samples) == 0 {
		t.Fatal("docs/operate.md shows no line")
	}
	want := members(t, log.String())
	if got := members(t, samples[0]); !slices.Equal(got, want) {
		t.Errorf("docs/operate.md has\n%v, the line\n%v", got, want)
	}
	for _, name := range want[3:] { // time, level and msg are in every line
		if !slices.Contains(operate.spans, name) {
			t.Errorf("docs/operate.md does not explain %s", name)
		}
	}
}

func pageNamed(t *testing.T, files map[string]string, name string) page {
	t.Helper()
	all := pages(files)
	i := slices.IndexFunc(all, func(p page) bool { return p.name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return all[i]
}

// Log lines in the pages exist in the code, and docs/operate.md explains each that needs attention.
func TestMessages(t *testing.T) {
	files := tree(t)
	texts := literals(files)
	inCode := func(message string) bool {
		start, cut := strings.CutSuffix(message, "…")
		return slices.ContainsFunc(texts, func(s string) bool { return s == message || cut && strings.HasPrefix(s, start) })
	}
	quoted := regexp.MustCompile("`msg: ([^`]+)`|`(?:DEBUG|INFO|WARN|ERROR)` `([^`]+)`")
	for _, name := range []string{"docs/operate.md", "docs/secrets.md", "docs/policy.md"} {
		p := pageNamed(t, files, name)
		for _, m := range quoted.FindAllStringSubmatch(p.prose, -1) {
			if message := m[1] + m[2]; !inCode(message) {
				t.Errorf("%s quotes %q, which nothing logs", name, message)
			}
		}
		for _, sample := range p.samples() {
			var line struct{ Msg string }
			if err := json.Unmarshal([]byte(sample), &line); err != nil || !inCode(line.Msg) {
				t.Errorf("%s: nothing logs %s", name, sample)
			}
			for _, member := range members(t, sample) {
				if !slices.Contains([]string{"time", "level", "msg"}, member) && !slices.Contains(texts, member) {
					t.Errorf("%s: no line has a member %s", name, member)
				}
			}
		}
	}

	operate := files["docs/operate.md"]
	logged := regexp.MustCompile(`(?:\.(?:Warn|Error|WarnContext|ErrorContext)\((?:ctx, )?|slog\.LevelError, )"([^"]+)"`)
	found := 0
	for name, text := range files {
		if !strings.HasPrefix(name, "core/") || !strings.HasSuffix(name, ".go") || strings.Contains(name, "test") {
			continue
		}
		for _, m := range logged.FindAllStringSubmatch(text, -1) {
			found++
			words := strings.Fields(m[1])
			if !strings.Contains(operate, strings.Join(words[:min(len(words), 4)], " ")) {
				t.Errorf("docs/operate.md does not say what to do about %q (%s)", m[1], name)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d messages found", found)
	}
}

// A cause that starts with a name has a row in docs/operate.md that starts the same.
func TestCauses(t *testing.T) {
	files := tree(t)
	var keys []string
	for line := range strings.SplitSeq(files["docs/operate.md"], "\n") {
		if cells := strings.Split(line, " | "); len(cells) == 3 {
			for _, m := range regexp.MustCompile("`([^`]+?)…?`").FindAllStringSubmatch(cells[0], -1) {
				keys = append(keys, m[1])
			}
		}
	}
	// Errors that only the signer of a request sees, and a bare prefix.
	elsewhere := []string{"hmac: the key must be", "hmac: the subject must be", "hmac: the keys", "canary: %w"}
	found := 0
	for _, text := range literals(files) {
		name, rest, named := strings.Cut(text, ": ")
		has := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
		if !named || rest == "" || !slices.Contains([]string{"oidc", "hmac", "canary"}, name) || slices.ContainsFunc(elsewhere, has) {
			continue
		}
		found++
		if !slices.ContainsFunc(keys, has) {
			t.Errorf("docs/operate.md has no row for the cause %q", text)
		}
	}
	if found < 20 {
		t.Errorf("only %d causes found", found)
	}
}
