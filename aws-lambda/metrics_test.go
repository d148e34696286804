package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Each metric of a line names members that are there: numbers as values, texts as dimensions. Without
// them CloudWatch drops the line's metrics and says nothing.
func TestMetrics(t *testing.T) {
	for _, tt := range []struct {
		name string
		log  func(*slog.Logger)
		want string // metrics with their dimensions
	}{
		{"a mint", func(l *slog.Logger) {
			l.Info("request", "code", "ok", "status", 200, "total_ms", 80.5, "secret_ms", 0.1, "token_ms", 40.0, "ice_ms", 40.0)
		}, "total_ms(function) token_ms(function) ice_ms(function) requests(function,code)"},
		{"the first one", func(l *slog.Logger) { l.Info("request", "code", "ok", "total_ms", 80.5, "cold_start", true) },
			"total_ms(function) cold_starts(function) requests(function,code)"},
		{"a refusal", func(l *slog.Logger) { l.Info("request", "code", "rate_limited", "total_ms", 0.1) },
			"total_ms(function) requests(function,code)"},
		{"with attributes before", func(l *slog.Logger) { l.With("a", 1).Info("request", "code", "ok") }, "requests(function,code)"},
		{"a refresh that failed", func(l *slog.Logger) { l.Warn("secret fetch failed", "source", "s") }, "secret_fetch_failed(function)"},
		{"fault 81: one that will fail until somebody acts", func(l *slog.Logger) { l.Error("secret fetch failed permanently", "source", "s") },
			"secret_fetch_failed_permanently(function) secret_fetch_failed(function)"},
		{"a rotation", func(l *slog.Logger) { l.Info("secret rotated", "source", "s") }, "secret_rotated(function)"},
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
			if !slices.Equal(got, strings.Fields(tt.want)) {
				t.Errorf("metrics %v", got)
			}
			if len(got) > 0 && parsed.AWS.Timestamp == 0 {
				t.Error("no timestamp")
			}
		})
	}
}

// Lines of an invocation carry its id, by which Lambda's own lines call it; others have none.
func TestInvocationID(t *testing.T) {
	invocation := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "7079"})
	for _, tt := range []struct {
		message string
		ctx     context.Context
		has     int
	}{
		{"request", invocation, 1},
		{"step", invocation, 1},
		{"started", t.Context(), 0},
	} {
		var out bytes.Buffer
		slog.New(metrics{slog.NewJSONHandler(&out, nil), "fn"}).InfoContext(tt.ctx, tt.message, "code", "ok")
		if strings.Count(out.String(), `"function_request_id":"7079"`) != tt.has {
			t.Errorf("%s: want the id %d times: %s", tt.message, tt.has, out.String())
		}
	}
}
