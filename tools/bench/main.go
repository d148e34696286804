// Command bench measures the endpoint against its Node peer, on this machine, in one run, and writes
// docs/benchmarks.md. It needs Linux, two cores, Go, Node and npm.
//
// The method, which docs/benchmarks.md has in full: the process under test is alone on one core, all
// else (the load generator and the stand-in for Orga, this process) on the other; the peers take turns
// round by round; every answer is checked; medians are shown with their spread, and what is compared
// is compared inside a round.
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

const usage = `Usage: go run ./bench [-quick] [-out FILE]

Measures the endpoint against Express 5 and against a Lambda function on Node, and writes
docs/benchmarks.md. A full run takes about ten minutes on a machine that does nothing else.

`

// plan is how much is measured.
type plan struct {
	rounds      int           // of each comparison
	slot        time.Duration // one peer's turn in a round
	slow        time.Duration // the same where the stand-in has a delay, and answers are few
	warm        time.Duration // before each of them, unmeasured
	firstWarm   time.Duration // before the first round: Node's compiler needs it
	coldStarts  int           // of each Lambda function
	smallStarts int           // the same under the quota of 128 MB
	invocations int           // warm ones after each start; under the quota an eighth
	freezes     int
}

var (
	full  = plan{5, time.Second, 2500 * time.Millisecond, 250 * time.Millisecond, 3 * time.Second, 11, 3, 400, 100}
	quick = plan{2, 500 * time.Millisecond, time.Second, 200 * time.Millisecond, time.Second, 3, 1, 160, 20}
)

func main() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	fast := flag.Bool("quick", false, "fewer rounds, about two minutes; prints the report and writes no `file` unless -out is given")
	out := flag.String("out", "", "write the report to this `file` (default docs/benchmarks.md)")
	flag.Parse()
	p := full
	if *fast {
		p = quick
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, p, *out, *fast)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan, out string, fast bool) (err error) {
	l, err := newLab(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r := &results{Plan: p, Quick: fast, Began: time.Now(), Machine: l.machine()}
	for _, part := range []struct {
		name string
		do   func(*results) error
	}{
		{"servers", l.measureServers},
		{"clients, 1 to 256", l.measureClients},
		{"tenants, 1 to 1,000", l.measureTenants},
		{"policies", l.measurePolicies},
		{"a CPU profile", l.measureProfile},
		{"Lambda", l.measureLambda},
		{"Lambda with the CPU of 128 MB", l.measureSmallLambda},
		{"Lambda, frozen and thawed", l.measureFreezes},
	} {
		l.say("measuring %s", part.name)
		if err := part.do(r); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	r.Took = time.Since(r.Began)
	fmt.Print("\n", r.table())
	switch {
	case out == "" && fast:
		return nil
	case out == "":
		out = filepath.Join(l.root, "docs", "benchmarks.md")
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(out, []byte(r.markdown()), 0o644)
}
