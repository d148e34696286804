//go:build linux

// Command bench compares the endpoint with the same calls in Node, on this machine, in one run, and writes
// docs/benchmarks.md, which describes the method. It needs Linux, root (or a user namespace), two cores, Go, Node and npm.
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

const usage = `Usage: go run ./bench [-quick]

Measures the endpoint against Express and against a Lambda function on Node, and writes docs/benchmarks.md.
A full run takes about five minutes; the machine should do nothing else meanwhile.

`

// plan is the number and duration of the measurements.
type plan struct {
	rounds    int           // of each comparison
	growth    int           // rounds of each growth row
	turn      time.Duration // of one program in a round, without Orga's delay
	slowTurn  time.Duration // with 16 clients and a delay, so with few answers; with 80 clients half of it, with 1 a quarter
	warm      time.Duration // unmeasured time before each turn
	firstWarm time.Duration // before Express's first turn, while Node compiles; before others' a quarter

	starts, invocations           int // of each Lambda function on a whole core
	smallStarts, smallInvocations int // the same with the CPU of a small function
	freezes                       int
	workerMints                   int // of the Cloudflare Worker, 100 at once
}

var (
	full = plan{rounds: 5, growth: 3, turn: 800 * time.Millisecond, slowTurn: 2500 * time.Millisecond,
		warm: 200 * time.Millisecond, firstWarm: 2 * time.Second,
		starts: 9, invocations: 150, smallStarts: 3, smallInvocations: 40, freezes: 100, workerMints: 8000}
	quick = plan{rounds: 2, growth: 1, turn: 300 * time.Millisecond, slowTurn: 600 * time.Millisecond,
		warm: 100 * time.Millisecond, firstWarm: 500 * time.Millisecond,
		starts: 2, invocations: 50, smallStarts: 1, smallInvocations: 10, freezes: 20, workerMints: 1000}
)

func main() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	fast := flag.Bool("quick", false, "about one minute; prints the report instead of writing it")
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
	l, err := newLab(ctx, p)
	if err != nil {
		return err
	}
	defer l.close()
	r := &results{Plan: p, Quick: fast, Began: time.Now(), Busy: busy, Zipped: l.zipped,
		Servers: make(map[load]map[string]series), Small: make(map[size]map[string]lives), Failures: make(map[string]int)}
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
		{"Lambda on a whole core", l.measureLambda},
		{"Lambda with the CPU of 128 and 256 MB", l.measureSmallLambda},
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
	if fast {
		_, err := os.Stdout.Write(page)
		return err
	}
	l.progress("writing docs/benchmarks.md")
	return os.WriteFile(filepath.Join(l.root, "docs", "benchmarks.md"), page, 0o644)
}
