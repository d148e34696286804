package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/orga-session/orga-session/tools/bench/proc"
	"github.com/orga-session/orga-session/tools/bench/stats"
)

// row is one promise and what became of it.
type row struct {
	Figure, Target, Ours, Theirs, Measured string
	Verdict                                string
	Reason                                 string // why it is not met, or not measured
}

const (
	met         = "met"
	notMet      = "not met"
	notMeasured = "not measured"
)

// rows holds the measurements to what issue 5 of the project asks for.
func (r *results) rows() []row {
	onServers := func(figure string, m mode, clients int, want float64, unit string, of func(slot) float64, more bool, reason string) row {
		ours, theirs := values(r.Servers[key{m.name, peerOrga, clients}], of), values(r.Servers[key{m.name, peerExpress, clients}], of)
		return versus(figure, want, unit, ours, theirs, more, reason)
	}
	onLambda := func(figure string, from map[string][]start, want float64, unit string, of func(start) float64, reason string) row {
		row := versus(figure, want, unit, values(from[peerOrga], of), values(from[peerNode], of), false, reason)
		if why := firstText(r.NodeError, r.SmallError); row.Verdict == notMeasured && why != "" {
			row.Reason = why
		}
		return row
	}
	profile := r.profileReason()
	return []row{
		onServers("CPU a request, 16 clients", plain, 16, 5, "µs", cpu, false, profile),
		onServers("the same, Orga over TLS", secure, 16, 6, "µs", cpu, false, profile),
		onServers("throughput of one core, 16 clients", plain, 16, 5, "/s", rate, true, profile),
		onServers("the same, 64 clients", plain, 64, 4, "/s", rate, true, profile),
		onServers("latency over two delays of 25 ms, p50, 1 client", plainSlow, 1, 4, "ms", added50, false, r.floorReason(1, added50)),
		onServers("the same, p99, 16 clients", plainSlow, 16, 10, "ms", added99, false, r.floorReason(16, added99)),
		r.memoryRow(),
		r.connectionsRow(),
		onLambda("Lambda: init", r.Lambda, 9, "ms", func(s start) float64 { return s.Init }, r.startReason(r.Lambda)),
		onLambda("Lambda: spawn → first answer, key included", r.Lambda, 15, "ms", func(s start) float64 { return s.First }, r.startReason(r.Lambda)),
		onLambda("Lambda: CPU of a warm invocation", r.Lambda, 4.5, "µs", func(s start) float64 { return s.CPU }, profile),
		onLambda("Lambda: peak memory", r.Lambda, 7, "MB", func(s start) float64 { return s.Peak },
			spread(values(r.Lambda[peerOrga], func(s start) float64 { return s.Files }), "MB")+fileReason),
		onLambda("Lambda at 128 MB: first answer", r.Small, 40, "ms", func(s start) float64 { return s.First }, r.startReason(r.Small)),
		onLambda("Lambda at 128 MB: warm, p50", r.Small, 30, "ms", func(s start) float64 { return s.Warm50 },
			"an invocation costs "+spread(values(r.Small[peerOrga], func(s start) float64 { return s.CPU }), "µs")+" of CPU; where that is more than is left of a period's 1444, it waits for the next"),
		zipRow(r.Zip),
		r.freezeRow(),
	}
}

// versus compares a figure round by round. want is how many times better ours must be; more tells that
// a larger figure is the better one.
func versus(figure string, want float64, unit string, ours, theirs []float64, more bool, reason string) row {
	ratios := stats.Ratios(theirs, ours)
	if more {
		ratios = stats.Ratios(ours, theirs)
	}
	row := row{Figure: figure, Target: fmt.Sprintf("≥ %g×", want), Ours: spread(ours, unit), Theirs: spread(theirs, unit)}
	ratio := stats.Of(ratios)
	if math.IsNaN(ratio.Median) {
		row.Verdict = notMeasured
		return row
	}
	row.Measured = spread(ratios, "×")
	row.judge(ratio.Median >= want, reason)
	return row
}

func (r *row) judge(ok bool, reason string) {
	r.Verdict = met
	if !ok {
		r.Verdict, r.Reason = notMet, reason
	}
}

// memoryRow has a value for each mode without a delay, where 64 clients were the last ones.
func (r *results) memoryRow() row {
	var ours, theirs []float64
	for _, m := range []mode{plain, secure} {
		ours = append(ours, megabytes(r.Ends[key{mode: m.name, peer: peerOrga}].Memory.Peak))
		theirs = append(theirs, megabytes(r.Ends[key{mode: m.name, peer: peerExpress}].Memory.Peak))
	}
	files := fmt.Sprintf("%.1f MB", megabytes(r.Ends[key{mode: plain.name, peer: peerOrga}].Memory.Files))
	return versus("peak memory, up to 64 clients", 15, "MB", ours, theirs, false, files+fileReason)
}

const fileReason = " of this bundle's are pages of the program's own file, which the kernel can drop and shares between processes"

func (r *results) connectionsRow() row {
	ours, theirs := r.Ends[key{mode: plain.name, peer: peerOrga}], r.Ends[key{mode: plain.name, peer: peerExpress}]
	opened := func(e end) string { return fmt.Sprintf("%d, after %d at the start", e.Steady, e.Opened-e.Steady) }
	row := row{Figure: "connections to Orga opened in the rounds, up to 64 clients", Target: "≤ 64",
		Ours: opened(ours), Theirs: opened(theirs)}
	row.judge(ours.Steady <= 64, "a request that finds no idle connection dials one, and takes another that came free meanwhile")
	return row
}

func zipRow(size int64) row {
	row := row{Figure: "zip of the Lambda function (arm64)", Target: "≤ 4 MB", Ours: fmt.Sprintf("%.2f MB", megabytes(size))}
	row.judge(size <= 4e6, "")
	return row
}

func (r *results) freezeRow() row {
	n := r.Plan.freezes
	row := row{Figure: "invocations failed after a freeze, the connection to Orga closed", Target: fmt.Sprintf("0 of %d", n)}
	row.Ours = fmt.Sprintf("%d of %d", r.Failures[peerOrga], n)
	if r.NodeError == "" {
		row.Theirs = fmt.Sprintf("%d of %d", r.Failures[peerNode], n)
	}
	row.judge(r.Failures[peerOrga] == 0, "")
	return row
}

// The reasons are what the run itself measured of where a figure comes from.

func (r *results) profileReason() string {
	var shares []string
	for _, s := range r.Profile[:min(4, len(r.Profile))] {
		shares = append(shares, fmt.Sprintf("%.0f %% is %s", s.Percent, s.Name))
	}
	return "of this bundle's CPU time " + strings.Join(shares, ", ")
}

func (r *results) floorReason(clients int, of func(slot) float64) string {
	floor := values(r.Servers[key{plainSlow.name, peerFloor, clients}], of)
	return "of it, a client that makes the two calls itself has " + spread(floor, "ms")
}

// startReason tells a wait from work: what a start costs in CPU, no core can give sooner.
func (r *results) startReason(lived map[string][]start) string {
	ours := func(of func(start) float64) string { return spread(values(lived[peerOrga], of), "ms") }
	return fmt.Sprintf("until its first answer this bundle runs for %s of CPU (Go's own start, the SDK and the key, "+
		"the authorities, the handshake with Orga); %s of the time is init",
		ours(func(s start) float64 { return s.Used }), ours(func(s start) float64 { return s.Init }))
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func megabytes[T ~int64 | ~int](n T) float64 { return float64(n) / 1e6 }

// spread prints a median and the smallest and largest value: "62 µs (58–70)".
func spread(v []float64, unit string) string {
	s := stats.Of(v)
	if unit != "" && unit != "×" {
		unit = " " + unit
	}
	switch {
	case math.IsNaN(s.Median):
		return "—"
	case len(v) == 1:
		return figure(s.Median) + unit
	}
	return fmt.Sprintf("%s%s (%s–%s)", figure(s.Median), unit, figure(s.Min), figure(s.Max))
}

// figure prints three digits that mean something, and no more.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		scale := math.Pow(10, math.Floor(math.Log10(a))-2)
		return fmt.Sprintf("%.0f", math.Round(v/scale)*scale)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func memory(m proc.Memory) string { return fmt.Sprintf("%.1f MB", megabytes(m.Peak)) }
