//go:build otel

package telemetry

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/orga-session/orga-session/core/secret"
)

// Log is log, whose lines are counted and put into the spans of their requests besides.
func (t *Telemetry) Log(log *slog.Logger) *slog.Logger {
	if t == nil {
		return log
	}
	meter := t.metrics.Meter("github.com/orga-session/orga-session")
	counter := func(name string) metric.Int64Counter {
		c, _ := meter.Int64Counter(prefix + name) // it fails for a name that is none
		return c
	}
	return slog.New(watched{
		Handler:     log.Handler(),
		requests:    counter("requests"),
		coldStarts:  counter("cold_starts"),
		fetchFailed: counter("secret_fetch_failed"),
		permanently: counter("secret_fetch_failed_permanently"),
		rotated:     counter("secret_rotated"),
	})
}

// prefix is that of our own attributes and metrics.
const prefix = "orga_session."

type watched struct {
	slog.Handler
	requests, coldStarts, fetchFailed, permanently, rotated metric.Int64Counter
}

// Handle counts the lines that count something.
func (w watched) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "request":
		span := trace.SpanFromContext(ctx)
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "code":
				w.requests.Add(ctx, 1, metric.WithAttributes(attribute.String("code", a.Value.String())))
			case "cold_start":
				w.coldStarts.Add(ctx, 1)
			}
			span.SetAttributes(attributeOf(a))
			return true
		})
	case secret.MsgFetchFailedPermanently:
		w.permanently.Add(ctx, 1)
		fallthrough
	case secret.MsgFetchFailed:
		w.fetchFailed.Add(ctx, 1)
	case secret.MsgRotated:
		w.rotated.Add(ctx, 1)
	}
	return w.Handler.Handle(ctx, r)
}

// WithAttrs keeps counting.
func (w watched) WithAttrs(attrs []slog.Attr) slog.Handler {
	w.Handler = w.Handler.WithAttrs(attrs)
	return w
}

// WithGroup keeps counting.
func (w watched) WithGroup(name string) slog.Handler {
	w.Handler = w.Handler.WithGroup(name)
	return w
}

func attributeOf(a slog.Attr) attribute.KeyValue {
	key := prefix + a.Key
	switch a.Value.Kind() {
	case slog.KindInt64:
		return attribute.Int64(key, a.Value.Int64())
	case slog.KindFloat64:
		return attribute.Float64(key, a.Value.Float64())
	case slog.KindBool:
		return attribute.Bool(key, a.Value.Bool())
	default:
		return attribute.String(key, a.Value.String())
	}
}
