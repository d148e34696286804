package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// A request has a span at the collector that the standard variables name; without them nothing is sent.
func TestTraced(t *testing.T) {
	var spans atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v1/traces") {
			spans.Add(1)
		}
	}))
	defer collector.Close()
	for _, tt := range []struct {
		name, endpoint string
		exports        int32
	}{
		{"set", collector.URL, 1},
		{"not set", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spans.Store(0)
			t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", tt.endpoint)
			h, flush, err := traced(t.Context(), http.NotFoundHandler())
			if err != nil {
				t.Fatal(err)
			}
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			if err := flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := spans.Load(); n != tt.exports {
				t.Errorf("%d exports", n)
			}
		})
	}
}
