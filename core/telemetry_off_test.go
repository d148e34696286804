//go:build !otel

package core_test

import (
	"strings"
	"testing"
)

// OpenTelemetry's variables cause one log line in builds without it.
func TestTelemetryNotBuiltIn(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  env
		says int
	}{
		{"asked for", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, 1},
		{"not asked for", env{"OTEL_SERVICE_NAME": "voice"}, 0},
		{"switched off", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, 0},
	} {
		d := deploy(t, tt.set, nil)
		if said := strings.Count(d.log.String(), "build with the tag otel"); said != tt.says || d.fault != nil {
			t.Errorf("%s: said %d times; %v", tt.name, said, d.fault)
		}
	}
}
