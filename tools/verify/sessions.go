package main

import (
	"context"
	"os"
	"path/filepath"
)

// sessions runs the playground's page in Chromium: it opens direct and relayed calls to the local Orga Cloud, and shows
// every simulated fault. Screenshots are kept in .cache/browser.
func (s *suite) sessions(ctx context.Context) {
	if s.chromium == "" {
		return
	}
	s.table.check(plain, sessions, "the playground in Chromium: direct, relayed, across origins, each fault named", func() error {
		// Its npm needs npm's own settings, which are not in the clean environment of other tools.
		_, err := s.run(ctx, filepath.Join(s.root, "tools", "browser"), append(os.Environ(), "CHROMIUM="+s.chromium),
			"node", "run.mjs", "--shots", filepath.Join(s.cache, "browser"))
		return err
	})
}
