package function

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/platform"
)

func TestBehindGoogle(t *testing.T) {
	tests := []struct {
		name      string
		forwarded []string
		hops      int
		want      string
	}{
		{"fault 30: what the client wrote is to the left", []string{"9.9.9.9, 192.0.2.10"}, 0, "192.0.2.10:0"},
		{"fault 30: on separate header lines", []string{"9.9.9.9", "192.0.2.10"}, 0, "192.0.2.10:0"},
		{"the owner's proxies are skipped", []string{"9.9.9.9, 192.0.2.10, 203.0.113.1"}, 1, "192.0.2.10:0"},
		{"IPv6", []string{"2001:db8::1"}, 0, "[2001:db8::1]:0"},
		{"none: the connection's is a proxy of Google's", nil, 0, ""},
		{"no address", []string{"unknown"}, 0, ""},
	}
	for _, tt := range tests {
		var got string
		serve := behindGoogle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }), core.Config{TrustedHops: tt.hops})
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header["X-Forwarded-For"] = tt.forwarded
		serve(httptest.NewRecorder(), r)
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Google's front end writes X-Forwarded-Proto, over what a client sends.
func TestHTTPS(t *testing.T) {
	for proto, want := range map[string]bool{"https": true, "http": false, "https,http": false, "": false} {
		var got bool
		serve := behindGoogle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = platform.From(r.Context()).HTTPS }), core.Config{})
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header.Set("X-Forwarded-Proto", proto)
		if serve(httptest.NewRecorder(), r); got != want {
			t.Errorf("%q: HTTPS %t", proto, got)
		}
	}
}

func TestIdentityNeedsDeclaration(t *testing.T) {
	for _, required := range []bool{false, true} {
		var got *platform.Identity
		serve := behindGoogle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = platform.From(r.Context()).Identity
		}), core.Config{GoogleIAM: required})
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header.Set("X-Goog-Authenticated-User-Id", "accounts.google.com:1") // fault 24
		r.Header.Set("X-Serverless-Authorization", "Bearer a.b.c")
		serve(httptest.NewRecorder(), r)
		if (got != nil) != required {
			t.Errorf("IAM required %t: got the identity %v", required, got)
		}
		if got != nil && (got.Subject != "" || got.Issuer != "https://accounts.google.com") {
			t.Errorf("got %+v: Google names nobody but itself", got)
		}
	}
}

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
