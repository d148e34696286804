package core

import (
	"log/slog"
	"strings"
	"testing"
)

// Reading any tenants' document yields tenants or faults, and a fault repeats nothing that could be a secret.
func FuzzTenants(f *testing.F) {
	f.Add(`{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_A","corsOrigins":["https://acme.example"],"rateLimit":"60/1m"}}}`)
	f.Add(`{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_A","baseURL":"https://[::ffff:10.0.0.1]:8443/x","apiKeyTTL":"1h"}}}`)
	f.Add(`{"tenants":{"acme":{"apiKeySource":"file:/nowhere","auth":"oidc,gateway","authIssuer":"https://i.example","authAudience":"a"}}}`)
	f.Add(`{"tenants":{"a":{},"a":{}}}`)
	f.Add(`{"tenants":{"a":{"apiKeySource":""}}}`)
	f.Add(`{"tenants":null}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, document string) {
		cfg := ConfigFromEnv(Env{"ORGA_API_KEY_A": "sk_orga_ai_fuzz"})
		cfg.Auth = []string{"anonymous"}
		cfg.Log = slog.New(slog.DiscardHandler)
		b := newBuilder(t.Context(), cfg, Drivers{})
		tenants, err := b.tenants(document)
		for name, built := range tenants {
			if !isTenantName(name) {
				t.Errorf("a tenant is called %q", name)
			}
			if err == nil && (built.Handler == nil || len(built.keys) == 0) {
				t.Errorf("%q is half built", name)
			}
		}
		if err != nil && strings.Contains(err.Error(), "sk_orga_ai_fuzz") {
			t.Errorf("a fault repeats the key: %v", err)
		}
	})
}
