package probe

import (
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/tools/orgacloud"
)

// TestRealEndpoint probes the endpoint itself, with a local Orga Cloud behind it.
func TestRealEndpoint(t *testing.T) {
	for _, test := range []struct {
		name  string
		env   map[string]string
		knobs orgacloud.Knobs
		fails []string
	}{
		{name: "nothing wrong"},
		{name: "origin not listed", env: map[string]string{"ORGA_CORS_ORIGINS": ""}, fails: []string{"cors.preflight", "cors.request"}},
		{name: "no auth set", env: map[string]string{"ORGA_AUTH": ""}, fails: []string{"status"}},
		{name: "Orga refuses the key", knobs: orgacloud.Knobs{Mint: orgacloud.Fault{Fault: "401"}}, fails: []string{"status"}},
		{name: "Orga's tokens live too briefly", knobs: orgacloud.Knobs{TokenTTLSeconds: 10}, fails: []string{"expiry"}},
		{name: "STUN dead", knobs: orgacloud.Knobs{Relay: "STUN does not answer"}, fails: []string{"stun stun"}},
		{name: "TURN over UDP blocked", knobs: orgacloud.Knobs{Relay: "TURN does not answer over UDP"}, fails: []string{"turn turn udp"}},
		{name: "wrong TURN credential", knobs: orgacloud.Knobs{Relay: "wrong credential"},
			fails: []string{"turn turn udp", "turn turn tcp", "turn turns tcp"}},
		{name: "expired TURN credential", knobs: orgacloud.Knobs{Relay: "expired credential"},
			fails: []string{"turn turn udp", "turn turn tcp", "turn turns tcp"}},
		{name: "a limit of one", env: map[string]string{"ORGA_RATE_LIMIT": "1/1h"}, fails: []string{"fresh"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cloud, err := orgacloud.Start(orgacloud.Config{APIKey: orgatest.Key, TURNOverTLS: true, Knobs: test.knobs})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cloud.Close() })
			env := map[string]string{
				"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": cloud.URL(), "ORGA_AUTH": "anonymous", "ORGA_CORS_ORIGINS": page,
			}
			maps.Copy(env, test.env)
			cfg := core.ConfigFromEnv(env)
			cfg.Log = slog.New(slog.DiscardHandler)
			s := httptest.NewServer(core.New(t.Context(), cfg, core.Drivers{})) // faults are served
			t.Cleanup(s.Close)
			r := Run(t.Context(), Options{URL: s.URL, Origin: page, Timeout: silence, RootCAs: cloud.RootCAs()})
			if got := problems(r, Fail); !slices.Equal(got, test.fails) {
				t.Errorf("fails %q, want %q\n%+v", got, test.fails, r.Checks)
			}
		})
	}
}
