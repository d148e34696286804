package request

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/platform"
)

// Characters allowed in IDs: others, sent by a client, could forge log lines or headers. API Gateway's own IDs are base64.
const (
	inRequestID  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	inPlatformID = inRequestID + "+/="
)

// isID reports whether s is 1 to 128 of the allowed characters.
func isID(s, allowed string) bool { return s != "" && len(s) <= 128 && strings.Trim(s, allowed) == "" }

// Headers of every answer. They are shared, so append copies them.
var (
	noStore    = []string{"no-store"}
	noCache    = []string{"no-cache"}
	varyOrigin = []string{"Origin"}
	noSniff    = []string{"nosniff"}
)

// Handler is the outermost layer: it assigns each request its ID and record, adds the headers of every answer, turns a
// panic into a problem, and writes one log line per request.
func Handler(next http.Handler, log *slog.Logger) http.Handler {
	var warm atomic.Bool
	inside := Stamp(log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s := &scope{Context: r.Context(), answer: answer{ResponseWriter: w}}
		x, out := &s.record, &s.answer
		x.RequestID, x.log = requestID(r), inside
		x.TraceID, x.SpanID = trace(r)
		r = r.WithContext(s)

		h := w.Header()
		h["Cache-Control"], h["Cdn-Cache-Control"], h["Pragma"] = noStore, noStore, noCache
		h["Vary"], h["X-Content-Type-Options"] = varyOrigin, noSniff
		s.id[0] = x.RequestID
		h["X-Request-Id"] = s.id[:]

		defer func() {
			if v := recover(); v != nil {
				logPanic(r.Context(), inside, v)
				internal := problem.New(problem.Internal, nil)
				x.Refuse(internal)
				if out.status == 0 {
					Fail(out, r, internal)
				}
			}
			logLine(log, r, x, out.status, time.Since(start), !warm.Swap(true))
		}()
		if ambiguous(r.Header) {
			Fail(out, r, problem.New(problem.BadRequest, errAmbiguous))
			return
		}
		next.ServeHTTP(out, r)
	})
}

var errAmbiguous = errors.New("a header that must be unique has several values")

// single are the headers that identify the caller, its address and the page.
var single = []string{
	"Authorization", "Cf-Access-Jwt-Assertion", "Cf-Connecting-Ip", "Content-Type", "Origin", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"X-Nf-Client-Connection-Ip",
}

// ambiguous reports whether one of these headers has several values: the proxy or gateway that verified the caller may
// have used a different value than the endpoint would.
func ambiguous(h http.Header) bool {
	for _, name := range single {
		values := h[name]
		for i := 1; i < len(values); i++ {
			if values[i] != values[0] {
				return true
			}
		}
	}
	return false
}

func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); isID(id, inRequestID) {
		return id
	}
	if id := platform.From(r.Context()).RequestID; isID(id, inPlatformID) {
		return id
	}
	return rand.Text()
}

// logPanic logs the type and the stack of a panic. It includes the text only of runtime errors, because any other value
// may contain a secret.
func logPanic(ctx context.Context, log *slog.Logger, v any) {
	attrs := []slog.Attr{slog.String("exception.type", fmt.Sprintf("%T", v))}
	if err, ok := v.(runtime.Error); ok {
		attrs = append(attrs, slog.String("exception.message", err.Error()))
	}
	attrs = append(attrs, slog.String("exception.stacktrace", string(debug.Stack())))
	log.LogAttrs(ctx, slog.LevelError, "panic", attrs...)
}

// answer records the status that was sent.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
