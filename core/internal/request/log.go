package request

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/core/problem"
)

// Tracing tells whether Step does anything: what only it needs can be left undone where not.
func (x *Record) Tracing() bool { return x.steps != nil }

// Step logs a step that the request has taken, at debug. Nothing secret may be in it.
func (x *Record) Step(ctx context.Context, step string, attrs ...slog.Attr) {
	if x.steps != nil {
		x.steps.LogAttrs(ctx, slog.LevelDebug, "step", append([]slog.Attr{slog.String("step", step)}, attrs...)...)
	}
}

// Stamp is log, whose lines carry the id of the request that their context belongs to.
func Stamp(log *slog.Logger) *slog.Logger { return slog.New(stamped{log.Handler()}) }

type stamped struct{ slog.Handler }

func (s stamped) Handle(ctx context.Context, r slog.Record) error {
	if id := From(ctx).RequestID; id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("request_id", id))
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs keeps stamping.
func (s stamped) WithAttrs(attrs []slog.Attr) slog.Handler {
	return stamped{s.Handler.WithAttrs(attrs)}
}

// WithGroup keeps stamping.
func (s stamped) WithGroup(name string) slog.Handler { return stamped{s.Handler.WithGroup(name)} }

// logLine writes the one line of a request. An error line means that a person should look: the
// settings, the key or our own code is wrong. What passes by itself is a warning at most.
func logLine(log *slog.Logger, r *http.Request, x *Record, status int, took time.Duration, cold bool) {
	level := slog.LevelInfo
	switch {
	case x.Code == string(problem.Misconfigured), x.Code == string(problem.Internal), x.Code == string(problem.UpstreamAuthFailed):
		level = slog.LevelError
	case status >= 500:
		level = slog.LevelWarn
	case x.Quiet:
		level = slog.LevelDebug
	}
	ctx := r.Context()
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	millis := func(key string, d time.Duration) {
		if d > 0 {
			attrs = append(attrs, slog.Float64(key, float64(d.Microseconds())/1000))
		}
	}
	text("request_id", x.RequestID)
	text("trace_id", x.TraceID)
	text("method", r.Method)
	text("tenant", x.Tenant)
	text("auth", x.Auth)
	text("subject", x.Caller[:min(16, len(x.Caller))])
	text("code", x.Code)
	attrs = append(attrs, slog.Int("status", status))
	text("limit", x.Limit)
	if x.LimitFallback {
		attrs = append(attrs, slog.Bool("limit_fallback", true))
	}
	millis("total_ms", took)
	millis("secret_ms", x.Secret)
	millis("token_ms", x.Token)
	millis("ice_ms", x.ICE)
	if x.Attempts > 0 {
		attrs = append(attrs, slog.Int("attempts", x.Attempts))
	}
	text("token_sha256", x.TokenHash)
	if cold {
		attrs = append(attrs, slog.Bool("cold_start", true))
	}
	if x.cause != nil {
		text("cause", x.cause.Error())
	}
	log.LogAttrs(ctx, level, "request", attrs...)
}

// isTraceID tells whether s has the shape of a trace id that the platforms hand in: hex, with X-Ray's
// dashes.
func isTraceID(s string) bool {
	return len(s) >= 16 && len(s) <= 64 && strings.Trim(s, "0123456789abcdefABCDEF-") == ""
}

// traceID finds the trace that the platform put the request in. Formats: AWS X-Ray's
// "Root=1-…-…;Parent=…", W3C traceparent "00-TRACE-SPAN-FLAGS", Google's "TRACE/SPAN;o=1", of which all but
// TRACE may be missing.
func traceID(r *http.Request) string {
	h := r.Header
	candidates := make([]string, 1, 4)
	candidates[0] = platform.From(r.Context()).TraceID
	for part := range strings.SplitSeq(h.Get("X-Amzn-Trace-Id"), ";") {
		if root, ok := strings.CutPrefix(strings.TrimSpace(part), "Root="); ok {
			candidates = append(candidates, root)
		}
	}
	google := h.Get("X-Cloud-Trace-Context")
	if end := strings.IndexAny(google, "/;"); end >= 0 {
		google = google[:end]
	}
	candidates = append(candidates, google)
	if parts := strings.Split(h.Get("Traceparent"), "-"); len(parts) == 4 {
		candidates = append(candidates, parts[1])
	}
	for _, id := range candidates {
		if isTraceID(id) {
			return id
		}
	}
	return ""
}
