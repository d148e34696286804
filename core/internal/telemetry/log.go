//go:build otel

package telemetry

import (
	"context"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelmetric "go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/orga-session/orga-session/core/internal/metric"
)

// Log returns log, with its lines also counted and added to the spans of their requests, at any log level.
func (t *Telemetry) Log(log *slog.Logger) *slog.Logger {
	if t == nil {
		return log
	}
	meter := t.metrics.Meter("github.com/orga-session/orga-session")
	counters := make(map[string]otelmetric.Int64Counter, len(metric.Counters))
	for _, name := range metric.Counters {
		counters[name], _ = meter.Int64Counter(prefix + name) // fails only for an invalid name
	}
	return slog.New(counting{log.Handler(), counters})
}

// prefix is that of our own attributes and metrics.
const prefix = "orga_session."

type counting struct {
	slog.Handler
	counters map[string]otelmetric.Int64Counter
}

// Enabled reports whether a line is logged or may count something.
func (c counting) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= metric.Level || c.Handler.Enabled(ctx, level)
}

// Handle counts a line, and logs it if its level is enabled.
func (c counting) Handle(ctx context.Context, r slog.Record) error {
	if reading, ok := metric.Read(r); ok {
		for _, name := range reading.Counters {
			var options []otelmetric.AddOption
			if name == metric.Requests && reading.Code != "ok" {
				options = append(options, otelmetric.WithAttributes(attribute.String(metric.ErrorType, reading.Code)))
			}
			if counter := c.counters[name]; counter != nil {
				counter.Add(ctx, 1, options...)
			}
		}
		if reading.Code != "" {
			span := trace.SpanFromContext(ctx)
			r.Attrs(func(a slog.Attr) bool {
				span.SetAttributes(attributeOf(a))
				return true
			})
		}
	}
	if !c.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (c counting) WithAttrs(attrs []slog.Attr) slog.Handler {
	c.Handler = c.Handler.WithAttrs(attrs)
	return c
}

// WithGroup implements [slog.Handler].
func (c counting) WithGroup(name string) slog.Handler {
	c.Handler = c.Handler.WithGroup(name)
	return c
}

// attributeOf returns OpenTelemetry's name for an attribute, else the name with our prefix.
func attributeOf(a slog.Attr) attribute.KeyValue {
	key := a.Key
	if !strings.Contains(key, ".") {
		key = prefix + key
	}
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
