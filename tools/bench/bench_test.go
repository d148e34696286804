//go:build linux

package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orga-session/orga-session/tools/fakeorga"
)

func TestGoals(t *testing.T) {
	for name, test := range map[string]struct {
		figures figures
		tuned   bool
		verdict string
	}{
		"a fifth of the peer's":         {figures{ours: []float64{10, 20, 10}, peer: []float64{50, 100, 60}}, false, met},
		"a fourth of the peer's":        {figures{ours: []float64{10, 20, 10}, peer: []float64{40, 80, 40}}, false, notMet},
		"five times as many":            {figures{ours: []float64{500}, peer: []float64{100}, more: true}, false, met},
		"four times as many":            {figures{ours: []float64{400}, peer: []float64{100}, more: true}, false, notMet},
		"one bad round of three":        {figures{ours: []float64{10, 50, 10}, peer: []float64{50, 50, 50}}, false, met},
		"no peer":                       {figures{ours: []float64{10}}, false, notMeasured},
		"faster than the direct client": {figures{ours: []float64{-1}, peer: []float64{5}}, false, notMeasured},
		"5 times the tuned program":     {figures{ours: []float64{50}, tuned: []float64{10}}, true, met},
		"six times the tuned program":   {figures{ours: []float64{60}, tuned: []float64{10}}, true, notMet},
	} {
		g := test.figures.timesPeer(name, 5, "the reason")
		if test.tuned {
			g = test.figures.timesTuned(name, 5, "the reason")
		}
		if g.verdict != test.verdict || (g.why != "") != (test.verdict == notMet) {
			t.Errorf("%s: %q with reason %q, want %q", name, g.verdict, g.why, test.verdict)
		}
	}
}

func TestSpread(t *testing.T) {
	for want, test := range map[string]struct {
		values []float64
		unit   string
	}{
		"—":                               {nil, "µs"},
		"0.50 ms":                         {[]float64{0.5}, "ms"},
		"-0.25 ms":                        {[]float64{-0.25}, "ms"},
		"12.3× (9.99–346)":                {[]float64{12.34, 345.6, 9.99}, "×"},
		"$23500":                          {[]float64{23456}, "$"},
		"2.00 µs per request (1.00–3.00)": {[]float64{3, 1, 2}, "µs per request"},
	} {
		if got := spread(test.values, test.unit); got != want {
			t.Errorf("spread(%v, %q) = %s, want %s", test.values, test.unit, got, want)
		}
	}
}

// One slow round must not be averaged away, nor count more than its requests.
func TestPooled(t *testing.T) {
	fast, mixed := make([]time.Duration, 99), []time.Duration{time.Second}
	for i := range fast {
		fast[i] = time.Millisecond
	}
	all := series{{latencies: fast}, {latencies: mixed}}
	latencies := func(t turn) []time.Duration { return t.latencies }
	if got := pooled(all, latencies, 0.5); got != 1 {
		t.Errorf("p50 %g ms, want 1", got)
	}
	if got := pooled(all, latencies, 1); got != 1000 {
		t.Errorf("p100 %g ms, want 1000", got)
	}
}

func TestBilled(t *testing.T) {
	if got := billed(life{latency: []time.Duration{time.Microsecond, 2 * time.Millisecond, 2001 * time.Microsecond}}); got != 2 {
		t.Errorf("1 µs, 2 ms and 2.001 ms are billed as %g ms on average, want 2", got)
	}
}

// A report without measurements says so in each row, instead of a panic after five minutes.
func TestPageWithoutMeasurements(t *testing.T) {
	r := &results{NoQuota: "the reason"}
	page, err := r.page()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(page); !strings.Contains(text, notMeasured) || !strings.Contains(text, "the reason") || strings.Contains(text, "NaN") {
		t.Errorf("the page does not say what is missing:\n%s", page)
	}
}

func TestClients(t *testing.T) {
	orga, err := fakeorga.Start(fakeorga.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer orga.Close()
	orga.SetDelay(time.Millisecond)
	c, err := connect(3, orga.Addr, direct)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	latencies, _, err := c.run(20 * time.Millisecond)
	if err != nil || len(latencies) < 3 || quantile(latencies, 0) < 2 {
		t.Errorf("latencies %v, error %v; want two delays of 1 ms each", latencies, err)
	}
	if orga.Opened() != 3 {
		t.Errorf("%d connections, want one for each client", orga.Opened())
	}
	refused, err := connect(1, orga.Addr, viaEndpoint(func(int) (string, string) { return defaultPath, "" }))
	if err != nil {
		t.Fatal(err)
	}
	defer refused.close()
	if _, _, err := refused.run(20 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("error %v, want one with the status", err)
	}
}

// A process under test is seen to run, to hold memory, to log, and to have the authorities of Amazon Linux.
func TestProcess(t *testing.T) {
	etc := t.TempDir()
	if err := writeAuthorities(etc, []byte("AUTHORITY\n")); err != nil {
		t.Skip(err)
	}
	core, _, err := twoCores()
	if err != nil {
		t.Skip(err)
	}
	l, err := newLauncher(core, etc)
	if errors.Is(err, syscall.EPERM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.start(t.Context(), nil, "", nil, "/bin/sh", "-c", "head -n 1 /etc/ssl/certs/ca-bundle.crt; while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; {
		ran, err := p.cpu()
		if err != nil || time.Since(began) > 20*time.Second {
			t.Fatalf("ran for %v, error %v", ran, err)
		}
		if ran > 20*time.Millisecond {
			break
		}
	}
	if m, err := p.memory(); err != nil || m < 0.1 {
		t.Errorf("memory %g MB, error %v", m, err)
	}
	p.stop()
	if p.output.String() != "AUTHORITY\n" || p.output.lines != 1 {
		t.Errorf("output %q of %d lines", &p.output, p.output.lines)
	}
	if _, err := p.cpu(); err == nil {
		t.Error("a process that has ended still has a CPU time")
	}
}
