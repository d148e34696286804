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

	"github.com/orga-session/orga-session/tools/workerd"
)

// results are the measurements of a run.
type results struct {
	Plan    plan
	Quick   bool
	Began   time.Time
	Took    time.Duration
	Machine string
	Busy    float64 // load average before the run

	Servers   map[load]map[string]series
	Growth    []variant
	Profile   string // output of pprof
	Functions map[size]map[string]lives
	NoQuota   string         // why there is none on less than a core
	Failures  map[string]int // after a freeze
	Worker    workerd.Figures

	Zipped, Modules, ModulesZipped int // bytes of the Lambda function, and of the Worker
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
	t, err := template.New("report").Funcs(template.FuncMap{
		"ms": func(d time.Duration) string { return digits(milliseconds(d)) + " ms" },
		"mb": func(bytes int) string { return digits(float64(bytes)/1e6) + " MB" },
	}).Parse(report)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, r)
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
	lambdaRequests = 0.20 // per million
	lambdaGBSecond = 0.0000133334
	runRequests    = 0.40 // per million
	runCPUSecond   = 0.000024
	runGiBSecond   = 0.0000025
	runGiB         = 0.5  // of memory, Cloud Run's default
	coldShare      = 0.01 // share of the mints in the table
)

// lambdaMillion returns the price of a million mints, of which coldShare are cold. Lambda also bills init.
func lambdaMillion(s life, megabytes int) float64 {
	ms := coldShare*s.First + (1-coldShare)*billed(s)
	return lambdaRequests + 1e6*ms/1e3*float64(megabytes)/1024*lambdaGBSecond
}

// runMillion returns the price of a million mints on an instance that does nothing else.
func runMillion(t turn) float64 {
	return runRequests + 1e6/t.Rate*(runCPUSecond+runGiB*runGiBSecond)
}

// Users returns the table for users: latency, memory and price.
func (r *results) Users() grid {
	g := grid{{"", "", ours, "Node"}}
	row := func(place, name string, f figures) {
		g = append(g, []string{place, name, spread(f.ours, f.unit), spread(f.peer, f.unit)})
	}
	for _, at := range usersSizes {
		from := r.Functions[at]
		row(fmt.Sprintf("**Lambda, %d MB**", at.megabytes), "cold: first answer", compare(from, firstAnswer, "ms"))
		row("", "warm: p50", compare(from, warmP50, "ms"))
		row("", "warm: p95", overall(from, lives.p95, "ms"))
		row("", "peak memory", compare(from, peak, "MB"))
		row("", "a million mints, 1 in 100 cold", compare(from, func(s life) float64 { return lambdaMillion(s, at.megabytes) }, "$"))
	}
	busy := r.Servers[load{slow, 80}]
	row("**One core, 80 at once**", "mints per second", compare(busy, rate, ""))
	row("", "p50", compare(busy, p50, "ms"))
	row("", "p99", overall(busy, series.p99, "ms"))
	row("", "peak memory", overall(busy, series.peak, "MB"))
	row("", "a million mints on Cloud Run", compare(busy, runMillion, "$"))
	return g
}

// GrowthTable returns the rows of growth.
func (r *results) GrowthTable() grid {
	g := grid{{"load", "CPU per request", "p50", "p99, pooled", "peak memory"}}
	for _, v := range r.Growth {
		g = append(g, []string{v.name, spread(values(v.turns, cpu), "µs"), spread(values(v.turns, p50), "ms"),
			spread([]float64{v.turns.p99()}, "ms"), spread([]float64{v.turns.peak()}, "MB")})
	}
	return g
}
