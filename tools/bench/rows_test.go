package main

import (
	"math"
	"strings"
	"testing"
)

func TestVersus(t *testing.T) {
	for _, test := range []struct {
		name         string
		ours, theirs []float64
		more         bool
		verdict      string
	}{
		{"a fifth", []float64{10, 20, 10}, []float64{50, 100, 60}, false, met},
		{"a fourth", []float64{10, 20, 10}, []float64{40, 80, 40}, false, notMet},
		{"five times as many", []float64{500}, []float64{100}, true, met},
		{"four times as many", []float64{400}, []float64{100}, true, notMet},
		{"one bad round of three", []float64{10, 50, 10}, []float64{50, 50, 50}, false, met},
		{"no peer", []float64{10}, nil, false, notMeasured},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := versus("figure", 5, "µs", test.ours, test.theirs, test.more, "the reason")
			if r.Verdict != test.verdict || (r.Reason != "") != (test.verdict == notMet) {
				t.Errorf("%q with reason %q, want %q", r.Verdict, r.Reason, test.verdict)
			}
		})
	}
}

func TestFigure(t *testing.T) {
	for _, test := range []struct {
		v    float64
		want string
	}{
		{0.5, "0.50"}, {-0.25, "-0.25"}, {12.34, "12.3"}, {345.6, "346"}, {23456, "23500"}, {math.Pi, "3.14"},
	} {
		if got := figure(test.v); got != test.want {
			t.Errorf("figure(%g) = %s, want %s", test.v, got, test.want)
		}
	}
}

func TestReadTop(t *testing.T) {
	const top = `File: orgaserver
Type: cpu
Showing nodes accounting for 2s, 100% of 2s total
      flat  flat%   sum%        cum   cum%
     0.40s 20.00% 20.00%      0.40s 20.00%  internal/runtime/syscall/linux.Syscall6
         0     0% 20.00%      0.60s 30.00%  net/http.(*Transport).RoundTrip
     0.02s  1.00% 21.00%      0.10s  5.00%  log/slog.(*Logger).LogAttrs (inline)
`
	shares, err := readTop(top)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"system calls": 20, "net/http, the client's": 30, "the log line": 5}
	for prefix, percent := range want {
		found := false
		for _, s := range shares {
			found = found || strings.HasPrefix(s.Name, prefix) && s.Percent == percent
		}
		if !found {
			t.Errorf("no %q with %g %% in %v", prefix, percent, shares)
		}
	}
	if _, err := readTop("no profile"); err == nil {
		t.Error("an empty profile passes")
	}
}

// A report of nothing still says so, row by row, rather than panic after ten minutes.
func TestReportWithoutMeasurements(t *testing.T) {
	text := (&results{NodeError: "there is none"}).markdown()
	if !strings.Contains(text, notMeasured) || !strings.Contains(text, "there is none") {
		t.Errorf("it does not say what is missing:\n%s", text)
	}
	if strings.Contains(text, "{") || strings.Contains(text, "NaN") {
		t.Errorf("a place was not filled in:\n%s", text)
	}
}
