package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// fuzz lets schemathesis send requests that docs/openapi.yaml allows and forbids to a running endpoint, and check each
// answer against the document. It takes at most a minute, and sends the same requests each time.
func (s *suite) fuzz(ctx context.Context) {
	s.table.check(plain, fuzzed, "schemathesis finds no answer that docs/openapi.yaml does not have", func() error {
		upstream := httptest.NewServer(new(orgatest.API))
		defer upstream.Close()
		settings := map[string]string{
			"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": upstream.URL, "ORGA_AUTH": "anonymous", "ORGA_RATE_LIMIT": "off",
			"ORGA_CORS_ORIGINS": "https://app.example",
		}
		cfg := core.ConfigFromEnv(settings)
		cfg.Log = slog.New(slog.DiscardHandler)
		h := core.New(ctx, cfg, core.Drivers{})
		if err := h.Faults(); err != nil {
			return err
		}
		endpoint := httptest.NewServer(h)
		defer endpoint.Close()
		_, err := s.run(ctx, s.scratch, nil, filepath.Join(s.schemathesisBin, "schemathesis"), "run", filepath.Join(s.root, "docs", "openapi.yaml"),
			"--url", endpoint.URL, "--max-examples", "40", "--generation-deterministic", "--max-time", "60", "--no-color")
		return err
	})
}
