package main

import (
	"context"
	"net/http"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

// traced gives each request of h a span, where the standard variables say where spans go
// (OTEL_EXPORTER_OTLP_ENDPOINT or …_TRACES_ENDPOINT; OTEL_SERVICE_NAME names the service). flush sends
// the last ones.
func traced(ctx context.Context, h http.Handler) (handler http.Handler, flush func(context.Context) error, err error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return h, func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	h = otelhttp.NewHandler(h, "orga-session", otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{}))
	return h, provider.Shutdown, nil
}
