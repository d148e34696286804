//go:build otel

package telemetry

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/orga-session/orga-session/core/platform"
)

const (
	// flushTimeout is the time that a collector may cost a caller; one on the same machine takes a millisecond.
	flushTimeout = 250 * time.Millisecond
	// flushPause is how long callers do not wait for a collector after a failed flush.
	flushPause = 10 * time.Second
)

// Telemetry observes an endpoint. A nil Telemetry does nothing. It is safe for concurrent use.
type Telemetry struct {
	traces      trace.TracerProvider
	metrics     metric.MeterProvider
	propagators propagation.TextMapPropagator
	flushes     []func(context.Context) error

	underWay    atomic.Int64 // requests in flight
	pausedUntil atomic.Int64 // wall clock, in nanoseconds: no flush before
}

// Start starts telemetry as configured by the standard variables. It returns nil if they enable nothing, or have values that
// the SDK does not support, which it logs. version is the endpoint's own. Later, export failures are logged to log,
// rate-limited and without the collector's text.
//
// Start replaces the SDK's own log and error handler for the whole process, because they may print headers with
// credentials.
func Start(ctx context.Context, version string, lookup func(string) (string, bool), log *slog.Logger) *Telemetry {
	wantTraces, wantMetrics := asked(lookup, "TRACES"), asked(lookup, "METRICS")
	if !wantTraces && !wantMetrics {
		return nil
	}
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(&reporter{log: log})
	t := &Telemetry{
		traces: nooptrace.NewTracerProvider(), metrics: noopmetric.NewMeterProvider(),
		propagators: propagators(lookup, log),
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("orga-session"), semconv.ServiceVersion(version), semconv.ServiceInstanceID(rand.Text())),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last, so that it takes precedence
	)
	if wantTraces && err == nil {
		var exporter sdktrace.SpanExporter
		if exporter, err = autoexport.NewSpanExporter(ctx); err == nil {
			provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
			t.traces, t.flushes = provider, append(t.flushes, provider.ForceFlush)
		}
	}
	if wantMetrics && err == nil {
		var reader sdkmetric.Reader
		if reader, err = autoexport.NewMetricReader(ctx); err == nil {
			provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(about))
			t.metrics, t.flushes = provider, append(t.flushes, provider.ForceFlush)
		}
	}
	if err != nil { // its text may repeat a variable, and so a credential
		log.Warn("OpenTelemetry is off: unsupported value of OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER, OTEL_EXPORTER_OTLP_PROTOCOL or OTEL_RESOURCE_ATTRIBUTES, or an exporter's port is in use")
		if traces, ok := t.traces.(*sdktrace.TracerProvider); ok {
			_ = traces.Shutdown(ctx) // nothing has been traced yet
		}
		return nil
	}
	return t
}

// Handler makes each request of next a span, except health checks. route returns the pattern that matches the request's
// path, "" for an unknown path. When the last request in flight ends, it flushes pending data.
func (t *Telemetry) Handler(next http.Handler, route func(*http.Request) string) http.Handler {
	if t == nil {
		return next
	}
	spans := otelhttp.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, s *http.Request) {
		ctx := s.Context()
		r, _ := ctx.Value(wholeRequest{}).(*http.Request)
		if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
			info := platform.From(ctx)
			info.TraceID, info.SpanID = span.TraceID().String(), span.SpanID().String()
			ctx = platform.With(ctx, info)
		}
		r = r.WithContext(ctx)
		r.Body = s.Body // counted by otelhttp
		next.ServeHTTP(w, r)
	}), "", t.options(
		otelhttp.WithPropagators(t.propagators),
		otelhttp.WithServerName("orga-session"), // otherwise each metric has the Host sent by the client
	)...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pattern := route(r)
		if pattern == "/healthz" || pattern == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		t.underWay.Add(1)
		defer func() {
			if t.underWay.Add(-1) == 0 {
				_ = http.NewResponseController(w).Flush() // where the platform supports it, the caller does not wait for the flush
				t.flush(context.WithoutCancel(r.Context()))
			}
		}()
		spans.ServeHTTP(w, shown(r, pattern))
	})
}

// Up to 2,048 spans wait for the collector, so the texts of clients in them are bounded, in bytes. W3C asks for at least 512 of
// a trace's state.
const (
	maxShown       = 256
	maxTraceHeader = 512
)

// shown returns a copy of the request to make a span from, with bounded texts. Without X-Forwarded-For, which may be forged, the
// client's address is RemoteAddr; without Host, metrics have no port. The context has the whole request.
func shown(r *http.Request, pattern string) *http.Request {
	s := r.WithContext(context.WithValue(r.Context(), wholeRequest{}, r))
	s.Pattern, s.Host, s.Method, s.URL = pattern, "", bounded(r.Method), &url.URL{Path: bounded(r.URL.Path)}
	s.Header = make(http.Header, len(r.Header))
	for name, values := range r.Header {
		if len(values) > 0 && len(values[0]) <= maxTraceHeader && name != "X-Forwarded-For" {
			s.Header[name] = values[:1]
		}
	}
	s.Header.Set("User-Agent", bounded(r.UserAgent()))
	return s
}

// bounded returns a copy of the start of a text; a substring would keep the rest in memory.
func bounded(s string) string {
	return strings.Clone(strings.ToValidUTF8(s[:min(len(s), maxShown)], "\uFFFD"))
}

type wholeRequest struct{}

func (t *Telemetry) options(more ...otelhttp.Option) []otelhttp.Option {
	return append(more, otelhttp.WithTracerProvider(t.traces), otelhttp.WithMeterProvider(t.metrics))
}

// flush exports pending data, unless a flush has just failed.
func (t *Telemetry) flush(ctx context.Context) {
	if now := time.Now().UnixNano(); now < t.pausedUntil.Load() && t.pausedUntil.Load()-now <= int64(flushPause) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, flush := range t.flushes {
		wg.Go(func() {
			if err := flush(ctx); err != nil {
				t.pausedUntil.Store(time.Now().Add(flushPause).UnixNano())
				otel.Handle(err)
			}
		})
	}
	wg.Wait()
}

// Transport makes each call through next a span within its request's span. It sends no trace headers to Orga, and hides the
// query, which may contain a user's email.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	spans := otelhttp.NewTransport(
		roundTripper(func(r *http.Request) (*http.Response, error) {
			r.URL, _ = r.Context().Value(wholeURL{}).(*url.URL) // otelhttp passes a copy of the request
			resp, err := next.RoundTrip(r)
			if err != nil {
				return nil, opaqueError{err}
			}
			resp.Body = opaqueBody{resp.Body}
			return resp, nil
		}),
		t.options(
			otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
			otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + path.Base(r.URL.Path) }),
		)...)
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		shown := *r.URL
		shown.RawQuery = ""
		r = r.WithContext(context.WithValue(r.Context(), wholeURL{}, r.URL))
		r.URL = &shown
		return spans.RoundTrip(r)
	})
}

// opaqueError is an error without its text. net/http quotes upstream text that it cannot parse, which may repeat the key, and
// otelhttp puts error texts into spans.
type opaqueError struct{ error }

func (opaqueError) Error() string   { return "the call failed; see the endpoint's log" }
func (e opaqueError) Unwrap() error { return e.error }

// opaqueBody is a body whose errors are opaque.
type opaqueBody struct{ io.ReadCloser }

func (b opaqueBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = opaqueError{err}
	}
	return n, err
}

type wholeURL struct{}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// reporter is the SDK's error handler.
type reporter struct {
	log  *slog.Logger
	last atomic.Int64 // wall clock, in nanoseconds
}

// reportEvery is the minimum interval between logged export failures.
const reportEvery = time.Minute

// Handle logs an export failure. It keeps only facts from this side, because the collector's text may be anything.
func (r *reporter) Handle(err error) {
	now, last := time.Now().UnixNano(), r.last.Load()
	if since := now - last; since >= 0 && since < int64(reportEvery) || !r.last.CompareAndSwap(last, now) {
		return
	}
	cause := "the SDK failed, or the collector refused; look at the OTEL_* variables, and at the collector's own log"
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		cause = opErr.Error()
	} else if errors.Is(err, context.DeadlineExceeded) {
		cause = "the collector does not answer"
	}
	r.log.Warn("telemetry export failed", "cause", cause)
}
