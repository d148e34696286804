// Package telemetry exports traces and metrics with OpenTelemetry, configured by the standard OTEL_* variables, in programs
// built with the tag otel. In other programs it does nothing and links nothing, because the SDK is larger than the rest
// of the endpoint (docs/architecture.md has the sizes).
//
// Each request is a span, with a child span for each call to Orga, retries included. The attributes of the span are the
// members of the request's log line, which has the span's trace ID. Metrics are those of HTTP's semantic conventions,
// and the counters of package metric with the prefix orga_session, requests by error.type. They count at any
// ORGA_LOG_LEVEL.
//
// An instance may be frozen once it has no request in flight, so the last request to end flushes pending data, for at most
// 250 ms. After a failure, no request flushes for 10 s. The SDK also exports at its own intervals.
//
// The SDK itself reads its variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)
// from the process's environment. This package decides through the settings' lookup whether to start it.
package telemetry

import "strings"

// asked reports whether the standard variables enable a signal, TRACES or METRICS. Unlike the SDK, which defaults to a
// collector on this machine, it defaults to off.
func asked(lookup func(string) (string, bool), signal string) bool {
	value := func(name string) string {
		v, _ := lookup(name)
		return strings.TrimSpace(v)
	}
	exporter := value("OTEL_" + signal + "_EXPORTER")
	switch {
	case strings.EqualFold(value("OTEL_SDK_DISABLED"), "true"), exporter == "none":
		return false
	case exporter != "":
		return true
	}
	return value("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || value("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}
