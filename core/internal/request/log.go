package request

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/internal/metric"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/platform"
)

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

// level is that of a request's line. An error needs a person: the settings, the key or our own code is wrong.
// What recovers without help is a warning at most.
func (x *Record) level(status int) slog.Level {
	if x.refused != nil {
		switch x.refused.Code {
		case problem.Misconfigured, problem.Internal, problem.UpstreamAuthFailed:
			return slog.LevelError
		default:
		}
	}
	switch {
	case status >= 500:
		return slog.LevelWarn
	case x.Quiet:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// checkLine is the message of a health check's line, and of a preflight's.
const checkLine = "check"

// logLine writes the one line of a request. Members with a dot are named as OpenTelemetry has them.
func logLine(log *slog.Logger, r *http.Request, x *Record, status int, took time.Duration, cold bool) {
	ctx, level, message := r.Context(), x.level(status), metric.RequestLine
	if x.Quiet {
		message = checkLine
	}
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 24)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, shortened(value)))
		}
	}
	millis := func(key string, d time.Duration) {
		if d > 0 {
			attrs = append(attrs, slog.Float64(key, float64(d.Microseconds())/1000))
		}
	}
	text("request_id", x.RequestID)
	text("trace_id", x.TraceID)
	text("span_id", x.SpanID)
	text("http.request.method", r.Method)
	text("tenant", x.Tenant)
	text("origin", x.Origin)
	text("auth", x.Auth)
	text("issuer", x.Issuer)
	text("user.hash", x.Caller[:min(16, len(x.Caller))])
	if x.Caller == "" && !x.Quiet {
		text("client_hash", clientHash(r.RemoteAddr))
	}
	if x.refused != nil {
		text(metric.ErrorType, string(x.refused.Code))
	}
	attrs = append(attrs, slog.Int("http.response.status_code", status))
	text(metric.Limit, x.Limit)
	if x.LimitFallback {
		attrs = append(attrs, slog.Bool(metric.LimitFallback, true))
	}
	millis(metric.TotalMS, took)
	millis("secret_ms", x.Secret)
	millis(metric.TokenMS, x.Token)
	millis(metric.ICEMS, x.ICE)
	if x.Attempts > 0 {
		attrs = append(attrs, slog.Int("attempts", x.Attempts))
	}
	text("orga_request_id", x.OrgaRequestID)
	text("token_sha256", x.TokenHash)
	if !x.TokenExpires.IsZero() {
		text("token_expires_at", x.TokenExpires.UTC().Format(time.RFC3339))
	}
	if cold {
		attrs = append(attrs, slog.Bool(metric.ColdStart, true))
	}
	if x.refused != nil && x.refused.Cause != nil {
		text("cause", x.refused.Cause.Error())
	}
	log.LogAttrs(ctx, level, message, attrs...)
}

// maxText bounds each text of a request's line, in bytes. Clients choose the method, and an issuer or a store has a
// part in causes: none of them may fill the log.
const maxText = 1 << 10

func shortened(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// hashKey is this process's own, and never leaves it: a list of all addresses cannot be turned into their
// hashes, nor the other way round.
var hashKey = sync.OnceValue(rand.Text)

// clientHash tells the clients of one instance apart without showing their addresses; "" when the address is
// unknown. What a limit takes for one client has one hash.
func clientHash(remoteAddr string) string {
	network := Network(remoteAddr)
	if network == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(hashKey() + network)) // what HMAC adds protects longer outputs than these 8 bytes
	return hex.EncodeToString(sum[:8])
}

// Network is what counts as one client: an IPv4 address, or the /64 of an IPv6 address, which is what one
// household has; "" for what is not an address.
func Network(remoteAddr string) string {
	addr := platform.ParseAddr(remoteAddr)
	switch {
	case !addr.IsValid():
		return ""
	case addr.Is4():
		return addr.String()
	}
	p, err := addr.Prefix(64)
	if err != nil { // it has no zone and 128 bits
		panic(err)
	}
	return p.String()
}

// isTraceID reports whether s has the form of a trace id that the platforms hand in: hex, with X-Ray's
// dashes.
func isTraceID(s string) bool {
	return len(s) >= 16 && len(s) <= 64 && strings.Trim(s, "0123456789abcdefABCDEF-") == ""
}

// isSpanID reports whether s has the form of W3C's parent-id.
func isSpanID(s string) bool { return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == "" }

// trace finds the trace that the platform put the request in, and the span where that is in W3C's form too.
// Formats: AWS X-Ray's "Root=1-…-…;Parent=…", W3C traceparent "00-TRACE-SPAN-FLAGS", Google's
// "TRACE/SPAN;o=1", of which all but TRACE may be missing.
func trace(r *http.Request) (id, span string) {
	if info := platform.From(r.Context()); isTraceID(info.TraceID) {
		return info.TraceID, info.SpanID
	}
	h := r.Header
	for part := range strings.SplitSeq(h.Get("X-Amzn-Trace-Id"), ";") {
		if root, ok := strings.CutPrefix(strings.TrimSpace(part), "Root="); ok && isTraceID(root) {
			return root, ""
		}
	}
	google := h.Get("X-Cloud-Trace-Context")
	if end := strings.IndexAny(google, "/;"); end >= 0 {
		google = google[:end]
	}
	id, span = traceparent(h.Get("Traceparent"))
	if !isTraceID(google) || google == id { // Google's front end writes both
		return id, span
	}
	return google, ""
}

// traceparent reads "00-TRACE-SPAN-FLAGS". What does not have its form is "".
func traceparent(header string) (id, span string) {
	if strings.Count(header, "-") != 3 {
		return "", ""
	}
	_, header, _ = strings.Cut(header, "-")
	id, header, _ = strings.Cut(header, "-")
	span, _, _ = strings.Cut(header, "-")
	switch {
	case !isTraceID(id):
		return "", ""
	case !isSpanID(span):
		return id, ""
	}
	return id, span
}
