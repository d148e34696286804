//go:build otel

package telemetry

import (
	"log/slog"
	"strconv"
	"strings"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/propagation"
)

// propagators parses OTEL_PROPAGATORS: comma-separated names, optionally with blanks. It drops and logs names that the SDK
// does not know. If the variable is unset or no known name remains, it returns W3C's trace context and baggage.
func propagators(lookup func(string) (string, bool), log *slog.Logger) propagation.TextMapPropagator {
	var known, unknown []string
	value, _ := lookup("OTEL_PROPAGATORS")
	for i, name := range strings.Split(value, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if _, err := autoprop.TextMapPropagator(name); err == nil {
			known = append(known, name)
			continue
		}
		if len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			name = "entry " + strconv.Itoa(i+1) // it may be a misplaced value
		}
		unknown = append(unknown, name)
	}
	if len(unknown) > 0 {
		log.Warn("OTEL_PROPAGATORS: unknown propagators: use tracecontext, baggage, b3, b3multi, jaeger, xray, ottrace or none", "unknown", strings.Join(unknown, ", "))
	}
	if len(known) == 0 {
		known = []string{"tracecontext", "baggage"}
	}
	composed, _ := autoprop.TextMapPropagator(known...) // all are known
	return composed
}
