package lambdahttp

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/internal/metric"
)

// Each metric of a line refers to existing members: numbers as values, texts as dimensions. Otherwise CloudWatch silently
// drops the line's metrics.
func TestMetrics(t *testing.T) {
	for _, tt := range []struct {
		name string
		log  func(*slog.Logger)
		want string // metrics with their dimensions
	}{
		{"a mint", func(l *slog.Logger) {
			l.Info("request", "http.response.status_code", 200, "total_ms", 80.5, "secret_ms", 0.1, "token_ms", 40.0, "ice_ms", 40.0)
		}, "total_ms(function) token_ms(function) ice_ms(function) requests(function,code) ok"},
		{"the first one", func(l *slog.Logger) { l.Info("request", "total_ms", 80.5, "faas.coldstart", true) },
			"total_ms(function) cold_starts(function) requests(function,code) ok"},
		{"a refusal", func(l *slog.Logger) { l.Info("request", "error.type", "rate_limited", "total_ms", 0.1) },
			"total_ms(function) requests(function,code) rate_limited"},
		{"with attributes before", func(l *slog.Logger) { l.With("a", 1).Info("request") }, "requests(function,code) ok"},
		{"what another line counts", func(l *slog.Logger) { l.Info("secret rotated", metric.Key, metric.SecretRotated) }, "secret_rotated(function)"},
		{"a permanent failure also counts as a failure", func(l *slog.Logger) { l.Error("m", metric.Key, metric.SecretFetchFailedPermanently) },
			"secret_fetch_failed_permanently(function) secret_fetch_failed(function)"},
		{"a health check", func(l *slog.Logger) {
			l.Warn("check", "error.type", "misconfigured", "total_ms", 0.1, "faas.coldstart", true)
		}, ""},
		{"what counts nothing", func(l *slog.Logger) { l.Info("started") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.log(slog.New(metrics{slog.NewJSONHandler(&out, nil), "fn"}))
			var line map[string]any
			var parsed struct {
				AWS embedded `json:"_aws"`
			}
			if json.Unmarshal(out.Bytes(), &line) != nil || json.Unmarshal(out.Bytes(), &parsed) != nil {
				t.Fatal(out.String())
			}
			var got []string
			for _, d := range parsed.AWS.CloudWatchMetrics {
				for _, dimension := range d.Dimensions[0] {
					if _, ok := line[dimension].(string); !ok || d.Namespace != namespace {
						t.Errorf("dimension %s of %s is %v", dimension, d.Namespace, line[dimension])
					}
				}
				for _, m := range d.Metrics {
					if _, ok := line[m.Name].(float64); !ok {
						t.Errorf("metric %s is %v", m.Name, line[m.Name])
					}
					got = append(got, m.Name+"("+strings.Join(d.Dimensions[0], ",")+")")
				}
			}
			if code, ok := line["code"].(string); ok {
				got = append(got, code)
			}
			if !slices.Equal(got, strings.Fields(tt.want)) {
				t.Errorf("metrics %v", got)
			}
			if len(got) > 0 && parsed.AWS.Timestamp == 0 {
				t.Error("no timestamp")
			}
		})
	}
}

// An invocation's lines have its ID, as in Lambda's own lines; other lines have none.
func TestInvocationID(t *testing.T) {
	invocation := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "7079"})
	for _, tt := range []struct {
		message string
		ctx     context.Context
		has     int
	}{
		{"request", invocation, 1},
		{"key read", invocation, 1},
		{"started", t.Context(), 0},
	} {
		var out bytes.Buffer
		slog.New(metrics{slog.NewJSONHandler(&out, nil), "fn"}).InfoContext(tt.ctx, tt.message, "code", "ok")
		if strings.Count(out.String(), `"faas.invocation_id":"7079"`) != tt.has {
			t.Errorf("%s: want the id %d times: %s", tt.message, tt.has, out.String())
		}
	}
}

// fault 82: metrics do not depend on the log level. Of a dropped line, only the metrics are logged.
func TestMetricsAtAnyLevel(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		var out bytes.Buffer
		log := slog.New(metrics{slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level}), "fn"})
		log.Info("request", "request_id", "id-1", "total_ms", 80.5, "cause", "private")
		log.Warn("secret fetch failed", "source", "s", metric.Key, metric.SecretFetchFailed)
		log.Error("request", "request_id", "id-1", "error.type", "internal")
		log.Debug("check", "total_ms", 0.1)
		log.Debug("key read")
		log.Info("started")
		counted := map[string]int{}
		for line := range strings.Lines(out.String()) {
			var parsed map[string]any
			if err := json.Unmarshal([]byte(line), &parsed); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"requests", "secret_fetch_failed", "total_ms"} {
				if parsed["_aws"] != nil && parsed[name] != nil {
					counted[name]++
				}
			}
			logged := slog.Level(0)
			if err := logged.UnmarshalText([]byte(parsed["level"].(string))); err != nil {
				t.Fatal(err)
			}
			if short := parsed["msg"] == "metrics"; short != (logged < level) || short && (parsed["cause"] != nil || parsed["source"] != nil) {
				t.Errorf("at %v: %s", level, line)
			}
		}
		if counted["requests"] != 2 || counted["secret_fetch_failed"] != 1 || counted["total_ms"] != 1 {
			t.Errorf("at %v: counted %v\n%s", level, counted, out.String())
		}
	}
}
