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

// sessions has the playground's page in Chromium open calls to the local Orga Cloud, direct and
// relayed, and fail in every way that it should. Screenshots stay in .cache/browser.
func (s *site) sessions(ctx context.Context) {
	if s.chromium == "" {
		return
	}
	s.table.check(plain, sessions, "the playground in Chromium: direct, relayed, across origins, each fault named", func() error {
		dir := filepath.Join(s.root, "tools", "browser")
		if _, err := os.Stat(filepath.Join(dir, "node_modules", "playwright-core")); errors.Is(err, fs.ErrNotExist) {
			// With npm's own settings, which the clean environment of run leaves out.
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
