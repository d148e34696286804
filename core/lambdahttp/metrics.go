package lambdahttp

import (
	"context"
	"log/slog"
	"slices"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/internal/metric"
)

// namespace is the CloudWatch namespace, which the dashboard and the alarms in template.yaml read.
const namespace = "OrgaSession"

// Metrics returns a log handler that adds CloudWatch metrics to log lines, in the embedded metric format, which CloudWatch
// reads from the log without an agent or a call. It also adds the invocation's ID, as in Lambda's own START and REPORT
// lines.
//
// Metrics are independent of the log level: of a line below next's level, only the metrics are logged.
//
//	requests                        function, code   requests, except health checks
//	total_ms token_ms ice_ms        function         duration of a request and its parts
//	cold_starts                     function         first requests of instances
//	secret_fetch_failed             function         failed refreshes of a secret
//	secret_fetch_failed_permanently function         those that will keep failing until somebody acts
//	secret_rotated                  function         refreshes that found a new secret
//	short_lived_tokens              function         tokens that were about to expire when they arrived
//	rate_limit_fallback             function         requests counted by one instance alone, while the shared store is down
//	caller_limited                  function         mints refused by a caller's quota
//	tenant_limited                  function         mints refused by a tenant's budget
//	tenant_budget_low               function         tenants that have used 80 percent of their budget
//
// Any other line with the attribute metric counts under that attribute's value, by function.
func Metrics(next slog.Handler) slog.Handler { return metrics{next, lambdacontext.FunctionName} }

type metrics struct {
	slog.Handler
	function string
}

// Enabled reports whether a line is logged or may count something.
func (m metrics) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= metric.Level || m.Handler.Enabled(ctx, level)
}

// Handle adds the metrics to the lines that have some.
func (m metrics) Handle(ctx context.Context, r slog.Record) error {
	reading, counts := metric.Read(r)
	logged := m.Handler.Enabled(ctx, r.Level)
	switch {
	case !logged && !counts:
		return nil
	case !logged:
		r = valuesOnly(r, reading)
	default:
		r = r.Clone()
	}
	if counts {
		r.AddAttrs(slog.String("function", m.function))
		if reading.Code != "" {
			r.AddAttrs(slog.String("code", reading.Code))
		}
		for _, name := range reading.Counters {
			r.AddAttrs(slog.Int(name, 1))
		}
		r.AddAttrs(slog.Any("_aws", embed(r, reading)))
	}
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("faas.invocation_id", invocation.AwsRequestID))
	}
	return m.Handler.Handle(ctx, r)
}

// valuesOnly returns r with only its metrics.
func valuesOnly(r slog.Record, reading metric.Reading) slog.Record {
	short := slog.NewRecord(r.Time, r.Level, "metrics", 0)
	r.Attrs(func(a slog.Attr) bool {
		if slices.Contains(reading.Milliseconds, a.Key) {
			short.AddAttrs(a)
		}
		return true
	})
	return short
}

// embed returns the member _aws, which declares the metrics of a line.
func embed(r slog.Record, reading metric.Reading) embedded {
	all := directive{Namespace: namespace, Dimensions: [][]string{{"function"}}}
	byCode := directive{Namespace: namespace, Dimensions: [][]string{{"function", "code"}}}
	for _, name := range reading.Milliseconds {
		all.Metrics = append(all.Metrics, definition{name, "Milliseconds"})
	}
	for _, name := range reading.Counters {
		if name == metric.Requests {
			byCode.Metrics = append(byCode.Metrics, definition{name, "Count"})
		} else {
			all.Metrics = append(all.Metrics, definition{name, "Count"})
		}
	}
	e := embedded{Timestamp: r.Time.UnixMilli()}
	for _, d := range []directive{all, byCode} {
		if len(d.Metrics) > 0 {
			e.CloudWatchMetrics = append(e.CloudWatchMetrics, d)
		}
	}
	return e
}

// WithAttrs implements [slog.Handler].
func (m metrics) WithAttrs(attrs []slog.Attr) slog.Handler {
	return metrics{m.Handler.WithAttrs(attrs), m.function}
}

// WithGroup drops the metrics, because CloudWatch does not find values in a group.
func (m metrics) WithGroup(name string) slog.Handler { return m.Handler.WithGroup(name) }

// embedded is the member _aws of a line (CloudWatch's "Specification: Embedded metric format").
type embedded struct {
	Timestamp         int64 // milliseconds since 1970
	CloudWatchMetrics []directive
}

type directive struct {
	Namespace  string
	Dimensions [][]string // names of members of the line
	Metrics    []definition
}

type definition struct {
	Name string // of a member of the line
	Unit string
}
