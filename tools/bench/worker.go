//go:build linux

package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/orga-session/orga-session/tools/workerd"
)

// worker has the cost of the Cloudflare Worker in workerd.
type worker struct {
	workerd.Figures
	Raw, Zipped int // bytes of its modules
}

func (l *lab) measureWorker(r *results) error {
	npm, err := workerd.Install(l.ctx, l.root)
	if err != nil {
		return err
	}
	if _, err := l.command(l.root, nil, "make", "build-cloudflare"); err != nil {
		return err
	}
	modules, staged := filepath.Join(l.root, "dist", "cloudflare"), filepath.Join(l.scratch, "worker")
	if err := workerd.Stage(l.root, modules, staged, nil); err != nil {
		return err
	}
	sizes, err := l.command(modules, nil, "sh", "-c", "cat * | wc -c && cat * | gzip -9 | wc -c")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(sizes, &r.Worker.Raw, &r.Worker.Zipped); err != nil {
		return err
	}
	r.Worker.Figures, err = workerd.Measure(l.ctx, workerd.Options{Root: l.root, NPM: npm, Dir: staged}, r.Plan.starts, r.Plan.workerMints)
	if err == nil && r.Worker.Cold == 0 {
		err = errors.New("the kernel does not tell the CPU time of a thread (schedstats)")
	}
	return err
}

// table returns its rows for the report.
func (w worker) table() grid {
	ms := func(seconds float64) string { return fmt.Sprintf("%.3g ms", 1000*seconds) }
	mb := func(bytes float64) string { return fmt.Sprintf("%.3g MB", bytes/1e6) }
	return grid{
		{"", ""},
		{"cold: CPU of the first mint", ms(w.Cold.Seconds())},
		{"cold: first answer", ms(w.FirstAnswer.Seconds())},
		{"warm: CPU of a mint, one at a time", ms(w.Warm.Seconds())},
		{"warm: CPU of a mint, 100 at once", ms(w.Busy.Seconds())},
		{"mints per second, 100 at once", fmt.Sprintf("%.0f", w.Rate)},
		{"memory of the Go program afterwards", mb(float64(w.Memory))},
		{"memory of workerd afterwards", mb(float64(w.Resident))},
		{"modules, as they are and compressed", mb(float64(w.Raw)) + ", " + mb(float64(w.Zipped))},
	}
}
