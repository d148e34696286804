//go:build !otel

package telemetry

import (
	"context"
	"log/slog"
	"net/http"
)

// Telemetry does nothing in this build.
type Telemetry struct{}

// Start logs a line if the variables ask for telemetry.
func Start(_ context.Context, _ string, lookup func(string) (string, bool), log *slog.Logger) *Telemetry {
	if asked(lookup, "TRACES") || asked(lookup, "METRICS") {
		log.Info("OTEL_* variables ignored: this build has no OpenTelemetry; build with the tag otel")
	}
	return nil
}

// Handler returns next.
func (*Telemetry) Handler(next http.Handler, _ func(*http.Request) string) http.Handler { return next }

// Transport returns next.
func (*Telemetry) Transport(next http.RoundTripper) http.RoundTripper { return next }

// Log returns log.
func (*Telemetry) Log(log *slog.Logger) *slog.Logger { return log }
