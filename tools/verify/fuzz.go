package main

import (
	"context"
	"path/filepath"
)

// fuzz lets schemathesis send requests that docs/openapi.yaml allows and forbids to the reference, and check each answer
// against the document. It takes at most a minute, and sends the same requests each time.
func (s *suite) fuzz(ctx context.Context, reference *endpoint) {
	s.table.check(plain, fuzzed, "schemathesis finds no answer that docs/openapi.yaml does not have", func() error {
		_, err := s.run(ctx, s.scratch, nil, filepath.Join(s.schemathesisBin, "schemathesis"), "run", filepath.Join(s.root, "docs", "openapi.yaml"),
			"--url", reference.transport.(overHTTP).base, "--max-examples", "40", "--generation-deterministic", "--max-time", "60", "--no-color")
		return err
	})
}
