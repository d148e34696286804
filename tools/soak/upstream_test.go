package main

import (
	"strings"
	"testing"
)

// A failed request is excused only if no endpoint could have answered it.
func TestUnanswerable(t *testing.T) {
	for list, want := range map[string]bool{
		"":                                false,
		"mint 503":                        false,
		"mint 503, mint reset":            false,
		"mint 503, ice 503, ice reset":    false,
		"mint hang, ice hang":             false,
		"mint 503, mint reset, mint hang": true,
		"ice 503, ice 503, ice 503":       true,
		"mint hang, mint hang, ice hang":  true,
		"mint 503, mint 503, cut":         true,
		"mint 503, cut":                   false,
	} {
		var m faults
		for fault := range strings.SplitSeq(list, ", ") {
			if fault != "" {
				m = append(m, fault)
			}
		}
		if got := m.unanswerable(); got != want {
			t.Errorf("%q: %v", list, got)
		}
	}
}
