//go:build linux

package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/orga-session/orga-session/tools/workerd"
)

// measureWorker measures the Cloudflare Worker in workerd.
func (l *lab) measureWorker(r *results) error {
	npm, err := workerd.Install(l.ctx, l.root)
	if err != nil {
		return err
	}
	modules, staged := filepath.Join(l.root, "dist", "cloudflare"), filepath.Join(l.scratch, "worker")
	sizes, err := l.command(modules, nil, "sh", "-c", "cat * | wc -c && cat * | gzip -9 | wc -c")
	if err != nil {
		return err
	}
	_, err = fmt.Sscan(sizes, &r.Modules, &r.ModulesZipped)
	if err := errors.Join(err, workerd.Stage(l.root, modules, staged, nil)); err != nil {
		return err
	}
	r.Worker, err = workerd.Measure(l.ctx, workerd.Options{Root: l.root, NPM: npm, Dir: staged}, r.Plan.WorkerStarts, r.Plan.WorkerMints)
	if err == nil && r.Worker.Cold == 0 {
		err = errors.New("the kernel does not tell the CPU time of a thread (schedstats)")
	}
	return err
}
