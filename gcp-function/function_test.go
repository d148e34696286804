package function

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
)

func TestCloudLogging(t *testing.T) {
	tests := []struct {
		name, project string
		level         slog.Level
		want          string
	}{
		{"a warning", "", slog.LevelWarn, `{"logging.googleapis.com/spanId":"12","message":"m","other":{"level":"1"},"severity":"WARNING","trace_id":"abc"}`},
		{"an error", "", slog.LevelError, `{"logging.googleapis.com/spanId":"12","message":"m","other":{"level":"1"},"severity":"ERROR","trace_id":"abc"}`},
		{"a trace", "p", slog.LevelInfo, `{"logging.googleapis.com/spanId":"12","logging.googleapis.com/trace":"projects/p/traces/abc","message":"m","other":{"level":"1"},"severity":"INFO"}`},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: cloudLogging(tt.project)}))
		log.Log(t.Context(), tt.level, "m", "trace_id", "abc", "span_id", "12", slog.Group("other", "level", "1"))
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line["time"] == nil {
			t.Errorf("%s: there is no time in %s", tt.name, out.Bytes())
		}
		delete(line, "time")
		if got, _ := json.Marshal(line); string(got) != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}
