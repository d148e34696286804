//go:build linux

// Command bench compares the endpoint with the same calls in Node, on this machine, in one run, and writes
// docs/benchmarks.md, which describes the method. It needs Linux, root (or a user namespace), two cores, Go, Node and npm,
// takes almost five minutes, and the machine should do nothing else meanwhile.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// plan is the number and duration of the measurements.
type plan struct {
	Rounds    int           // of each comparison
	Growth    int           // rounds of each growth row
	Turn      time.Duration // of one program in a round, without Orga's delay
	SlowTurn  time.Duration // with 16 clients and a delay, so with few answers; with 80 clients half of it, with 1 a quarter
	Warm      time.Duration // unmeasured time before each turn
	FirstWarm time.Duration // the same before the first turns, while Node compiles; a quarter without Node

	Starts, Invocations           int // of each Lambda function on a whole core
	SmallStarts, SmallInvocations int // the same with the CPU of a small function
	Freezes                       int
	WorkerStarts, WorkerMints     int // of the Cloudflare Worker, 100 mints at once
}

var (
	full = plan{Rounds: 5, Growth: 3, Turn: 800 * time.Millisecond, SlowTurn: 1800 * time.Millisecond,
		Warm: 150 * time.Millisecond, FirstWarm: time.Second,
		Starts: 9, Invocations: 150, SmallStarts: 3, SmallInvocations: 40, Freezes: 100, WorkerStarts: 5, WorkerMints: 2000}
	quick = plan{Rounds: 2, Growth: 1, Turn: 300 * time.Millisecond, SlowTurn: 600 * time.Millisecond,
		Warm: 100 * time.Millisecond, FirstWarm: 500 * time.Millisecond,
		Starts: 2, Invocations: 50, SmallStarts: 1, SmallInvocations: 10, Freezes: 20, WorkerStarts: 2, WorkerMints: 1000}
)

func main() {
	fast := flag.Bool("quick", false, "take about one minute, and print the report instead of writing it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *fast)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, fast bool) error {
	p := full
	if fast {
		p = quick
	}
	busy, err := loadAverage()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "orga-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	l, err := newLab(ctx, p, scratch)
	if err != nil {
		return err
	}
	r := &results{Plan: p, Quick: fast, Began: time.Now(), Busy: busy, Zipped: l.zipped,
		Servers: make(map[load]map[string]series), Functions: make(map[size]map[string]lives), Failures: make(map[string]int)}
	if r.Machine, err = l.machine(); err != nil {
		return err
	}
	for _, part := range []struct {
		name    string
		measure func(*results) error
	}{
		{"servers over HTTP", l.measurePlain},
		{"servers over TLS", l.measureTLS},
		{"growth", l.measureGrowth},
		{"a CPU profile", l.measureProfile},
		{"Lambda", l.measureLambda},
		{"Lambda, frozen and thawed", l.measureFreezes},
		{"the Cloudflare Worker in workerd", l.measureWorker},
	} {
		l.progress("measuring %s", part.name)
		if err := errors.Join(part.measure(r), l.end()); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	r.Took = time.Since(r.Began).Round(time.Second)
	page, err := r.page()
	if err != nil {
		return err
	}
	file := filepath.Join(l.root, "docs", "benchmarks.md")
	if fast {
		file = "/dev/stdout"
	}
	return os.WriteFile(file, page, 0o644)
}
