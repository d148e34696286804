// Package telemetry sends traces and metrics by OpenTelemetry, from a program that was built with the
// tag otel to where the standard OTEL_* variables say. In any other program it does nothing and links
// nothing: the SDK is larger than the rest of the endpoint (docs/architecture.md has the sizes).
//
// A request is a span, and so is each call to Orga in it, retries too; the members of the request's log
// line are attributes of its span, and the line has the span's trace id. Metrics are those of HTTP's
// semantic conventions, and the counters of package metric under the prefix orga_session, the requests by
// error.type. They count at any ORGA_LOG_LEVEL.
//
// An instance may be frozen as soon as it has no request under way, so the last one to end sends what
// there is before it ends, for at most 250 ms; a collector that does not take it is then left alone for
// 10 s. Beside that, the SDK sends at its own intervals.
//
// The SDK reads its variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)
// from the process's environment by itself. Which of them ask for anything at all is decided here,
// through the same lookup as all other settings.
package telemetry

import "strings"

// asked reports whether the standard variables ask for a signal, TRACES or METRICS. Unlike the SDK's own
// default, which is a collector on this machine, nothing said means nothing sent.
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
