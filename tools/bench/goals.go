//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/tools/bench/stats"
)

// goal is one of the project's goals, with the measurements.
type goal struct {
	name, want              string
	ours, peer, tuned, made string
	verdict, why            string
}

const (
	met         = "met"
	notMet      = "**not met**"
	notMeasured = "not measured"
)

// figures are the values of one figure: one per round, or a single one for all rounds.
type figures struct {
	ours, peer, tuned []float64
	unit              string
	more              bool // a larger value is better
}

// timesPeer computes in each round how many times better our value is than the peer's. A negative added latency means that
// other work slowed the direct client down, so nothing was measured.
func (f figures) timesPeer(name string, want float64, why string) goal {
	ratios := stats.Ratios(f.peer, f.ours)
	if f.more {
		ratios = stats.Ratios(f.ours, f.peer)
	}
	if slices.ContainsFunc(ratios, func(r float64) bool { return r <= 0 }) {
		ratios = nil
	}
	return f.judge(name, fmt.Sprintf("≥ %g×", want), why, ratios, stats.Of(ratios).Median >= want)
}

// timesTuned computes our value as a multiple of the tuned program's.
func (f figures) timesTuned(name string, most float64, why string) goal {
	ratios := stats.Ratios(f.ours, f.tuned)
	return f.judge(name, fmt.Sprintf("≤ %g× tuned", most), why, ratios, stats.Of(ratios).Median <= most)
}

func (f figures) judge(name, want, why string, ratios []float64, ok bool) goal {
	g := goal{name, want, spread(f.ours, f.unit), spread(f.peer, f.unit), spread(f.tuned, f.unit), spread(ratios, "×"), notMeasured, ""}
	if len(ratios) > 0 {
		g.judge(ok, why)
	}
	return g
}

func (g *goal) judge(ok bool, why string) {
	g.verdict = met
	if !ok {
		g.verdict, g.why = notMet, why
	}
}

// compare returns a figure of each round.
func compare[S ~[]T, T any](from map[string]S, figure func(T) float64, unit string) figures {
	return figures{ours: values(from[ours], figure), peer: values(from[peer], figure), tuned: values(from[tuned], figure), unit: unit}
}

// overall returns a figure of all rounds together.
func overall[S ~[]T, T any](from map[string]S, figure func(S) float64, unit string) figures {
	whole := make(map[string][]S)
	for name, rounds := range from {
		whole[name] = []S{rounds}
	}
	return compare(whole, figure, unit)
}

// added subtracts the latencies of the direct client from a figure of the servers.
func (f figures) added(direct []float64) figures {
	for _, values := range [][]float64{f.ours, f.peer, f.tuned} {
		for i := range values {
			values[i] -= direct[i]
		}
	}
	return f
}

// goals compares the measurements with the project's goals.
func (r *results) goals() []goal {
	at16, at64, slow1, slow16 := r.Servers[load{plain, 16}], r.Servers[load{plain, 64}], r.Servers[load{slow, 1}], r.Servers[load{slow, 16}]
	cpu16, rate16, rate64 := compare(at16, cpu, "µs"), compare(at16, rate, "/s"), compare(at64, rate, "/s")
	rate16.more, rate64.more = true, true
	whole, tiny := r.Functions[wholeCore], r.Functions[small]
	const (
		profile = "see where the CPU time goes, below"
		waiting = "the tuned program shows how much of it is net/http"
		text    = "the largest part is the program itself: its code, the Go runtime, and on Lambda the AWS SDK and the authorities"
	)
	zip := goal{name: "zip of the Lambda function (arm64)", want: "≤ 4 MB", ours: fmt.Sprintf("%.2f MB", float64(r.Zipped)/1e6)}
	zip.judge(r.Zipped <= 4e6, "see `go version -m` for what is linked")
	failed := func(name string) string { return fmt.Sprintf("%d of %d", r.Failures[name], r.Plan.Freezes) }
	frozen := goal{name: "failed after a freeze, connections closed", want: "none", ours: failed(ours), peer: failed(peer)}
	frozen.judge(r.Failures[ours] == 0, "a bug: run the tests in `tools/freeze`")
	return []goal{
		cpu16.timesPeer("CPU per request, 16 clients", 5, profile),
		cpu16.timesTuned("the same, against the tuned program", 1.4, profile),
		compare(r.Servers[load{secure, 16}], cpu, "µs").timesPeer("CPU per request, 16 clients, Orga over TLS", 5.5, profile),
		rate16.timesPeer("throughput of one core, 16 clients", 5, profile),
		rate64.timesPeer("throughput of one core, 64 clients", 4, profile),
		compare(slow1, p50, "ms").added(values(slow1[noProxy], p50)).timesPeer("added latency, p50, 1 client", 4, waiting),
		overall(slow16, series.p99, "ms").added([]float64{slow16[noProxy].p99()}).timesPeer("added latency, p99, 16 clients", 8, waiting),
		overall(at64, series.peak, "MB").timesPeer("peak memory, up to 64 clients", 13, text),
		compare(whole, warmCPU, "µs").timesPeer("Lambda: CPU of a warm invocation", 4, profile),
		compare(whole, peak, "MB").timesPeer("Lambda: peak memory", 7, text),
		compare(whole, firstAnswer, "ms").timesPeer("Lambda: first answer, key included", 12, startReason(whole)),
		compare(tiny, firstAnswer, "ms").timesPeer("Lambda, CPU of 128 MB: first answer", 40, startReason(tiny)),
		compare(tiny, warmP50, "ms").timesPeer("Lambda, CPU of 128 MB: warm, p50", 45, "an invocation takes "+
			spread(values(tiny[ours], warmCPU), "µs")+" of CPU; when the quota of a 20 ms period is used up, it waits for the next"),
		zip, frozen,
	}
}

// startReason explains a slow start: work, or waiting.
func startReason(from map[string]lives) string {
	return fmt.Sprintf("the function uses %s of CPU until its first answer (the start of Go, the AWS SDK, the authorities, two TLS handshakes); init ends after %s",
		spread(values(from[ours], used), "ms"), spread(values(from[ours], initTime), "ms"))
}

// spread formats a median with the smallest and the largest value: "62 µs (58–70)".
func spread(values []float64, unit string) string {
	s, format := stats.Of(values), "%s "+unit
	switch unit {
	case "", "×":
		format = "%s" + unit
	case "$":
		format = "$%s"
	}
	switch {
	case math.IsNaN(s.Median):
		return "—"
	case len(values) == 1:
		return fmt.Sprintf(format, digits(s.Median))
	}
	return fmt.Sprintf(format+" (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits formats three significant digits.
func digits(v float64) string {
	a := math.Abs(v)
	if a >= 1000 {
		scale := math.Pow(10, math.Floor(math.Log10(a))-2)
		return fmt.Sprintf("%.0f", math.Round(v/scale)*scale)
	}
	return fmt.Sprintf("%.*f", 2-min(2, int(math.Log10(max(a, 1)))), v)
}

// GoalsTable returns the goals as Markdown, with explanations of those not met.
func (r *results) GoalsTable() string {
	g := grid{{"figure", "goal", ours, "Node", "tuned", "measured", ""}}
	var reasons []string
	missed := make(map[string][]string) // by reason
	for _, row := range r.goals() {
		g = append(g, []string{row.name, row.want, row.ours, row.peer, row.tuned, row.made, row.verdict})
		if row.why != "" {
			if missed[row.why] == nil {
				reasons = append(reasons, row.why)
			}
			missed[row.why] = append(missed[row.why], row.name)
		}
	}
	var text strings.Builder
	text.WriteString(g.String())
	for _, why := range reasons {
		fmt.Fprintf(&text, "\n- Not met: *%s*: %s.", strings.Join(missed[why], "*, *"), why)
	}
	return text.String() + "\n"
}
