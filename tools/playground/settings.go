package main

import (
	"crypto/rand"
	"maps"
	"strings"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
)

// usesRealOrga reports whether to use the real Orga: the settings name a key or a base URL.
func usesRealOrga(env core.Env) bool {
	return env["ORGA_API_KEY"] != "" || env["ORGA_API_KEY_SOURCE"] != "" || env["ORGA_BASE_URL"] != ""
}

// withDefaults adds the playground's defaults to the settings; overrides win. Callers are anonymous because only
// this machine can connect. Request lines are not logged because the page shows more than they do.
func withDefaults(env core.Env, overrides map[string]string) core.Env {
	settings := core.Env{"ORGA_AUTH": "anonymous", "ORGA_LOG_LEVEL": "warn"}
	for name, value := range env {
		if value != "" {
			settings[name] = value
		}
	}
	maps.Copy(settings, overrides)
	if strings.Contains(settings["ORGA_AUTH"], "hmac") && settings["ORGA_AUTH_HMAC_KEY_SOURCE"] == "" {
		settings[ownHMACKey] = rand.Text() + rand.Text()
		settings["ORGA_AUTH_HMAC_KEY_SOURCE"] = "env:" + ownHMACKey
	}
	return settings
}

// ownHMACKey is the variable of the key that the playground makes for ORGA_AUTH=hmac.
const ownHMACKey = "PLAYGROUND_HMAC_KEY"

// newKey generates a permanent key for the local cloud.
func newKey() string { return orga.KeyPrefix + "local_" + rand.Text() }
