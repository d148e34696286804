package main

import (
	"crypto/rand"

	"github.com/orga-session/orga-session/core/orga"
)

// lookup reads a setting from the environment.
type lookup = func(name string) (string, bool)

// withReal tells whether the settings ask for the real Orga: they name a key of it, or its address.
func withReal(env lookup) bool {
	for _, name := range []string{"ORGA_API_KEY", "ORGA_API_KEY_SOURCE", "ORGA_BASE_URL"} {
		if v, _ := env(name); v != "" {
			return true
		}
	}
	return false
}

// withDefaults adds what a playground needs to settings that do not say otherwise. It listens on the
// loopback interface alone, so callers are anonymous; and it logs no line a request, as it shows more
// than that. overrides win.
func withDefaults(env lookup, overrides map[string]string) lookup {
	defaults := map[string]string{"ORGA_AUTH": "anonymous", "ORGA_LOG_LEVEL": "warn"}
	return func(name string) (string, bool) {
		if v, ok := overrides[name]; ok {
			return v, true
		}
		if v, ok := env(name); ok && v != "" {
			return v, true
		}
		v, ok := defaults[name]
		return v, ok
	}
}

// newKey makes a permanent key that only the local cloud knows.
func newKey() string { return orga.KeyPrefix + "local_" + rand.Text() }
