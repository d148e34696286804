package main

import (
	"crypto/rand"
	"maps"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
)

// withReal reports whether the settings ask for the real Orga: they name a key of it, or its address.
func withReal(env core.Env) bool {
	for _, name := range []string{"ORGA_API_KEY", "ORGA_API_KEY_SOURCE", "ORGA_BASE_URL"} {
		if env[name] != "" {
			return true
		}
	}
	return false
}

// withDefaults adds what a playground needs to settings that do not say otherwise. It listens on the
// loopback interface alone, so callers are anonymous; and it logs no line a request, as it shows more
// than that. overrides win.
func withDefaults(env core.Env, overrides map[string]string) core.Env {
	settings := core.Env{"ORGA_AUTH": "anonymous", "ORGA_LOG_LEVEL": "warn"}
	for name, value := range env {
		if value != "" {
			settings[name] = value
		}
	}
	maps.Copy(settings, overrides)
	return settings
}

// newKey makes a permanent key that only the local cloud knows.
func newKey() string { return orga.KeyPrefix + "local_" + rand.Text() }
