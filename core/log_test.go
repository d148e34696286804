package core_test

import (
	"context"
	"encoding/json"
	"io"
	stdlog "log"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/secret"
)

// Fault 17: net/http's message about data after an answer's end is logged without its quote.
func TestStandardLogQuotesNothing(t *testing.T) {
	before, writer, flags := slog.Default(), stdlog.Writer(), stdlog.Flags()
	defer func() {
		slog.SetDefault(before)
		stdlog.SetOutput(writer)
		stdlog.SetFlags(flags)
	}()
	var log logBuffer
	core.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	stdlog.Print("another line starting with words")

	d := deploy(t, env{"ORGA_API_KEY": canary}, nil)
	d.orga.Intercept = func(_ orga.Call, r *http.Request) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = rw.WriteString("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}\nyour key: " + r.Header.Get("Authorization"))
			_ = rw.Flush()
			_, _ = io.Copy(io.Discard, conn)
		})
	}
	d.ask("GET", mintPath)
	for range 100 { // net/http logs it in another goroutine
		if strings.Contains(log.String(), "Unsolicited") {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	if said := log.String(); !strings.Contains(said, "Unsolicited response") || !strings.Contains(said, "another line starting with words") {
		t.Errorf("the log lacks what was said:\n%s", said)
	}
	if strings.Contains(log.String(), "starting with \\") {
		t.Errorf("the log quotes what the server sent, if only its first word:\n%s", log.String())
	}
	for _, form := range forms(canary) {
		if strings.Contains(log.String(), form) {
			t.Errorf("the key is in the log:\n%s", log.String())
		}
	}
}

type slowLimiter struct{ ratelimit.Limiter }

func (slowLimiter) Ping(context.Context) error {
	time.Sleep(50 * time.Millisecond)
	return nil
}

// An instance's first line has its version and the waits of its start; fields that do not apply are omitted.
func TestStartedLine(t *testing.T) {
	slow := func(took time.Duration, text string) secret.Driver {
		return func(secret.Ref) (secret.Source, error) {
			return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
				time.Sleep(took)
				return secret.Secret{Value: secret.NewValue(text), Version: "1"}, nil
			}), nil
		}
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	started := func(t *testing.T, set env, drivers core.Drivers, change func(*core.Config)) map[string]any {
		t.Helper()
		var log logBuffer
		vars := env{"ORGA_API_KEY": orgatest.Key, "ORGA_AUTH": "anonymous"}
		maps.Copy(vars, set)
		cfg := core.ConfigFromEnv(core.Env(vars))
		cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
		if change != nil {
			change(&cfg)
		}
		e := core.New(t.Context(), cfg, drivers)
		t.Cleanup(func() { _ = e.Close() })
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		var line map[string]any
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil || line["msg"] != "started" || line["version"] != core.Version {
			t.Fatalf("the last line of the start is %s", lines[len(lines)-1])
		}
		return line
	}
	core.SetCommit(commit)
	defer core.SetCommit("")

	synctest.Test(t, func(t *testing.T) { // the process began outside of the bubble: start_ms is not looked at
		line := started(t, env{"ORGA_API_KEY_SOURCE": "slow:key", "ORGA_TENANTS_SOURCE": "tenants:all", "ORGA_RATE_LIMIT_STORE": "slow:"}, core.Drivers{
			Secrets:   map[string]secret.Driver{"slow": slow(1200*time.Millisecond, orgatest.Key), "tenants": slow(400*time.Millisecond, `{"tenants":{}}`)},
			Limiters:  map[string]ratelimit.Driver{"slow": func(string) (ratelimit.Limiter, error) { return slowLimiter{}, nil }},
			Transport: http.DefaultTransport, // nothing is connected ahead
		}, nil)
		for name, want := range map[string]any{"commit": commit, "secret_ms": 1200.0, "tenants_ms": 400.0, "limiter_ms": 50.0, "connect_ms": nil} {
			if line[name] != want {
				t.Errorf("%s is %v, not %v: %v", name, line[name], want, line)
			}
		}
	})
	api := orgatest.New(t)
	line := started(t, env{"ORGA_BASE_URL": api.URL}, core.Drivers{}, nil)
	if ms, ok := line["start_ms"].(float64); !ok || ms <= 0 || ms > float64(time.Hour.Milliseconds()) {
		t.Errorf("start_ms is %v", line["start_ms"])
	}
	for name, there := range map[string]bool{"connect_ms": true, "secret_ms": true, "limiter_ms": true, "tenants_ms": false} {
		if _, ok := line[name]; ok != there {
			t.Errorf("%s: there is %v, want %v: %v", name, ok, there, line)
		}
	}
	core.SetCommit("")
	line = started(t, env{"ORGA_BASE_URL": api.URL}, core.Drivers{}, func(cfg *core.Config) { cfg.NoWarmUp = true })
	for _, name := range []string{"commit", "secret_ms", "connect_ms", "limiter_ms"} { // a test binary has no commit
		if v, ok := line[name]; ok {
			t.Errorf("%s is %v, and nothing was waited for", name, v)
		}
	}
}
