package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/secret"
)

// namespace is where CloudWatch keeps the metrics; the dashboard and the alarms of template.yaml read
// them there.
const namespace = "OrgaSession"

// metrics makes the log lines that count something metrics too, in CloudWatch's embedded metric format:
// CloudWatch takes them out of the log by itself, so that there is no agent, no call and no waiting.
// What is not logged (ORGA_LOG_LEVEL) is not counted.
//
//	requests                        function, code   one a request, health checks aside
//	total_ms token_ms ice_ms        function         where the time of a request went
//	cold_starts                     function         requests that were an instance's first
//	secret_fetch_failed             function         refreshes of a secret that failed
//	secret_fetch_failed_permanently function         those of them that will fail until somebody acts
//	secret_rotated                  function         refreshes that brought a new one
type metrics struct {
	slog.Handler
	function string
}

// milliseconds are the attributes of a request's line that are metrics as they are.
var milliseconds = map[string]bool{"total_ms": true, "token_ms": true, "ice_ms": true}

// Handle adds the metrics to the lines that have some, and to those of an invocation its id, by which
// Lambda's own START and REPORT lines call it.
func (m metrics) Handle(ctx context.Context, r slog.Record) error {
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		r = r.Clone()
		r.AddAttrs(slog.String("function_request_id", invocation.AwsRequestID))
	}
	all := directive{Namespace: namespace, Dimensions: [][]string{{"function"}}}
	byCode := directive{Namespace: namespace, Dimensions: [][]string{{"function", "code"}}}
	var counts []slog.Attr
	count := func(d *directive, name string) {
		d.Metrics = append(d.Metrics, metric{name, "Count"})
		counts = append(counts, slog.Int(name, 1))
	}
	switch r.Message {
	case "request":
		count(&byCode, "requests")
		r.Attrs(func(a slog.Attr) bool {
			switch {
			case milliseconds[a.Key]:
				all.Metrics = append(all.Metrics, metric{a.Key, "Milliseconds"})
			case a.Key == "cold_start":
				count(&all, "cold_starts")
			}
			return true
		})
	case secret.MsgFetchFailedPermanently:
		count(&all, "secret_fetch_failed_permanently")
		fallthrough
	case secret.MsgFetchFailed:
		count(&all, "secret_fetch_failed")
	case secret.MsgRotated:
		count(&all, "secret_rotated")
	default:
		return m.Handler.Handle(ctx, r)
	}
	var e embedded
	for _, d := range []directive{all, byCode} {
		if len(d.Metrics) > 0 {
			e.CloudWatchMetrics = append(e.CloudWatchMetrics, d)
		}
	}
	e.Timestamp = r.Time.UnixMilli()
	r = r.Clone()
	r.AddAttrs(counts...)
	r.AddAttrs(slog.String("function", m.function), slog.Any("_aws", e))
	return m.Handler.Handle(ctx, r)
}

// WithAttrs keeps the metrics.
func (m metrics) WithAttrs(attrs []slog.Attr) slog.Handler {
	return metrics{m.Handler.WithAttrs(attrs), m.function}
}

// WithGroup loses them: in a group, CloudWatch would not find their values.
func (m metrics) WithGroup(name string) slog.Handler { return m.Handler.WithGroup(name) }

// embedded is the member _aws of a line (CloudWatch's "Specification: Embedded metric format").
type embedded struct {
	Timestamp         int64 // milliseconds since 1970
	CloudWatchMetrics []directive
}

type directive struct {
	Namespace  string
	Dimensions [][]string // names of members of the line
	Metrics    []metric
}

type metric struct {
	Name string // of a member of the line
	Unit string
}
