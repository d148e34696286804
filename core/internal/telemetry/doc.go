// Package telemetry sends traces and metrics by OpenTelemetry, from a program that was built with the
// tag otel to where the standard OTEL_* variables say. In any other program it does nothing and links
// nothing: the SDK is larger than the rest of the endpoint (docs/architecture.md has the sizes).
//
// A request is a span, and so is each call to Orga in it, retries too; the members of the request's log
// line are attributes of its span, and the line has the span's trace id. Metrics are those of HTTP's
// semantic conventions, and
//
//	orga_session.requests                          by code: what came of a request
//	orga_session.cold_starts                       requests that were an instance's first
//	orga_session.secret_fetch_failed               refreshes of a secret that failed
//	orga_session.secret_fetch_failed_permanently   those of them that will fail until somebody acts
//	orga_session.secret_rotated                    refreshes that brought a new one
//
// Like the log lines that they are counted from, they depend on ORGA_LOG_LEVEL.
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

// asked tells whether the standard variables ask for a signal, TRACES or METRICS. Unlike the SDK's own
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
