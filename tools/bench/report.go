//go:build linux

package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/template"
	"time"
)

// results are the measurements of a run.
type results struct {
	Plan    plan
	Quick   bool
	Began   time.Time
	Took    time.Duration
	Machine string
	Busy    float64 // load average before the run

	Servers  map[load]map[string]series
	Memory   map[string]float64 // MB, peak up to 64 clients
	Memory80 map[string]float64 // MB, peak with 80 clients
	Growth   []variant
	Profile  string // output of pprof

	Lambda   map[string]lives
	Small    map[size]map[string]lives
	NoQuota  string // why Small is empty
	Worker   worker
	Failures map[string]int
	Zipped   int
}

// machine describes the machine of the run, without its name or paths.
func (l *lab) machine() (string, error) {
	cpus, err := os.ReadFile("/proc/cpuinfo")
	_, model, _ := strings.Cut(string(cpus), "model name\t: ") // missing on arm64
	model, _, _ = strings.Cut(model, "\n")
	text, perr := os.ReadFile(filepath.Join(l.nodeDir, "package.json"))
	var peer struct{ Dependencies map[string]string }
	if err := errors.Join(err, perr, json.Unmarshal(text, &peer)); err != nil {
		return "", err
	}
	parts := []string{model, "linux/" + runtime.GOARCH, runtime.Version()}
	for _, name := range slices.Sorted(maps.Keys(peer.Dependencies)) {
		parts = append(parts, name+" "+peer.Dependencies[name])
	}
	return strings.Join(parts, ", "), nil
}

// loadAverage returns the machine's load average over the last minute.
func loadAverage() (load float64, err error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, err = fmt.Sscan(string(text), &load)
	}
	return load, err
}

//go:embed report.tmpl
var report string

// page renders the report.
func (r *results) page() ([]byte, error) {
	t, err := template.New("report").Parse(report)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Date": r.Began.UTC().Format("2 January 2006, 15:04 MST"), "Took": r.Took, "Machine": r.Machine, "Quick": r.Quick, "Busy": r.Busy, "NoQuota": r.NoQuota,
		"Users": r.users().String(), "Goals": r.table(), "Growth": r.growthTable().String(), "Worker": r.Worker.table().String(), "Profile": r.Profile,
		"Rounds": r.Plan.rounds, "Turn": r.Plan.turn, "SlowTurn": r.Plan.slowTurn,
		"Starts": r.Plan.starts, "Invocations": r.Plan.invocations, "SmallStarts": r.Plan.smallStarts, "SmallInvocations": r.Plan.smallInvocations,
	})
	return b.Bytes(), err
}

// grid is a Markdown table; its first line is the header.
type grid [][]string

func (g grid) String() string {
	var b strings.Builder
	for i, cells := range g {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("| --- ", len(cells)) + "|\n")
		}
	}
	return b.String()
}

// Prices in US dollars, of us-east-1 (arm64) and of Cloud Run's cheaper regions, without the free tiers.
const (
	lambdaRequests  = 0.20 // per million
	lambdaGBSecond  = 0.0000133334
	runRequests     = 0.40 // per million
	runCPUSecond    = 0.000024
	runGiBSecond    = 0.0000025
	runGiB          = 0.5  // of memory, Cloud Run's default
	coldShare       = 0.01 // share of the mints in the table
	millionRequests = 1e6
)

// lambdaMillion returns the price of a million mints, of which coldShare are cold. Lambda also bills init.
func lambdaMillion(s life, megabytes int) float64 {
	ms := coldShare*s.First + (1-coldShare)*billed(s)
	return lambdaRequests + millionRequests*ms/1e3*float64(megabytes)/1024*lambdaGBSecond
}

// runMillion returns the price of a million mints on an instance that does nothing else.
func runMillion(t turn) float64 {
	return runRequests + millionRequests/t.Rate*(runCPUSecond+runGiB*runGiBSecond)
}

// users returns the table for users: latency, memory and price.
func (r *results) users() grid {
	g := grid{{"", "", ours, "Node"}}
	row := func(place, name string, f figures) {
		g = append(g, []string{place, name, spread(f.ours, f.unit), spread(f.peer, f.unit)})
	}
	for _, at := range usersSizes {
		from := r.Small[at]
		p95 := func(name string) []float64 { // over all instances, because each has too few invocations
			var all []time.Duration
			for _, s := range from[name] {
				all = append(all, s.latency...)
			}
			return []float64{quantile(all, 0.95)}
		}
		row(fmt.Sprintf("**Lambda, %d MB**", at.megabytes), "cold: first answer", functions(from, firstAnswer, "ms"))
		row("", "warm: p50", functions(from, warmP50, "ms"))
		row("", "warm: p95", figures{ours: p95(ours), peer: p95(node), unit: "ms"})
		row("", "peak memory", functions(from, peak, "MB"))
		row("", "a million mints, 1 in 100 cold", functions(from, func(s life) float64 { return lambdaMillion(s, at.megabytes) }, "$"))
	}
	at := load{slow, 80}
	row("**One core, 80 at once**", "mints per second", r.servers(at, rate, ""))
	row("", "p50", r.servers(at, p50, "ms"))
	row("", "p99", figures{ours: []float64{r.Servers[at][ours].pooled(0.99)}, peer: []float64{r.Servers[at][express].pooled(0.99)}, unit: "ms"})
	row("", "peak memory", memory(r.Memory80))
	row("", "a million mints on Cloud Run", r.servers(at, runMillion, "$"))
	return g
}

func (r *results) growthTable() grid {
	g := grid{{"load", "CPU per request", "p50", "p99, pooled", "peak memory"}}
	for _, v := range r.Growth {
		g = append(g, []string{v.Name, spread(values(v.Turns, cpu), "µs"), spread(values(v.Turns, p50), "ms"),
			spread([]float64{v.Turns.pooled(0.99)}, "ms"), fmt.Sprintf("%.1f MB", v.Memory)})
	}
	return g
}
