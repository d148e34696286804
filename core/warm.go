package core

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/internal/egress"
	"github.com/orga-session/orga-session/core/internal/secretcache"
)

// warmTimeout bounds New's wait: an instance must start even if nothing answers.
const warmTimeout = 2 * time.Second

// warm prefetches what the first caller would wait for, and reads the tenants, whose faults are faults of the settings. It
// fetches keys even if there are other faults, so that a fault of a key does not surface only after the next deployment.
// The error has faults of keys, which may be fixed while the endpoint runs. waits has the duration of each part; the
// parts run concurrently.
func (b *builder) warm(ctx context.Context, r *router) (waits []slog.Attr, mendable error) {
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var parts []func() slog.Attr
	run := func(name string, part func()) {
		var took time.Duration
		parts = append(parts, func() slog.Attr { return millis(name, took) })
		wg.Go(func() {
			begun := time.Now()
			part()
			took = time.Since(begun)
		})
	}
	faults := make([]error, len(r.keys()))
	run("secret_ms", func() {
		var keys sync.WaitGroup
		for i, key := range r.keys() {
			keys.Go(func() { faults[i] = fetch(ctx, key) })
		}
		keys.Wait()
	})
	if len(b.faults) == 0 {
		if t, ok := b.transport.(*egress.Transport); ok {
			run("connect_ms", func() { t.Warm(ctx, b.cfg.BaseURL) })
		}
		run("limiter_ms", func() { _ = b.limiter.Ping(ctx) }) // if this fails, the first request reports it
	}
	if r.directory != nil {
		run("tenants_ms", func() { b.loadTenants(ctx, r.directory) })
	}
	wg.Wait()
	for _, part := range parts {
		waits = append(waits, part())
	}
	for _, fault := range faults {
		if fault != nil {
			b.logFault(fault)
		}
	}
	return waits, errors.Join(faults...)
}

// fetch caches a key. Its error is a fault of the settings; the cache logs other failures.
func fetch(ctx context.Context, key *secretcache.Cache) error {
	_, err := key.Get(ctx)
	if fault, ok := errors.AsType[*settingError](err); ok {
		return fault
	}
	return nil
}

func (b *builder) loadTenants(ctx context.Context, d *directory) {
	_, err := d.tenants(ctx)
	// Faults of the document have been added by now; a missing document is a fault, too.
	if fault, ok := errors.AsType[*settingError](err); ok && !d.faulty() {
		b.keepFault(fault)
	}
}

// logStart writes an instance's first line: its version, and what its start waited for.
func (b *builder) logStart(ctx context.Context, waits []slog.Attr) {
	attrs := []slog.Attr{slog.String("version", Version)}
	if revision, _ := build(); revision != "" {
		attrs = append(attrs, slog.String("commit", revision))
	}
	attrs = append(attrs, millis("start_ms", time.Since(processStart)))
	b.log.LogAttrs(ctx, slog.LevelInfo, "started", append(attrs, waits...)...)
}

func millis(name string, d time.Duration) slog.Attr {
	return slog.Float64(name, float64(d.Microseconds())/1000)
}
