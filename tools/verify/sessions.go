package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// sessions runs the playground's page in Chromium: it opens direct and relayed calls to the local Orga Cloud, and shows
// every simulated fault. Screenshots are kept in .cache/browser.
func (s *site) sessions(ctx context.Context) {
	if s.chromium == "" {
		return
	}
	s.table.check(plain, sessions, "the playground in Chromium: direct, relayed, across origins, each fault named", func() error {
		dir := filepath.Join(s.root, "tools", "browser")
		if _, err := os.Stat(filepath.Join(dir, "node_modules", "playwright-core")); errors.Is(err, fs.ErrNotExist) {
			// npm needs its own settings, which run's clean environment lacks.
			npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
			npm.Dir = dir
			if err := loudly(npm); err != nil {
				return fmt.Errorf("install playwright-core: %w", err)
			}
		}
		_, err := s.run(ctx, dir, []string{"CHROMIUM=" + s.chromium}, "node", "run.mjs", "--shots", filepath.Join(s.cache, "browser"))
		return err
	})
}
