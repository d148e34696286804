package entrypoints

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/secret/secrettest"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
	"github.com/orga-session/orga-session/tools/orgacloud"
)

// Fault 86: the Lambda binary's canary, invoked with a scheduled event, checks a real endpoint and real TURN servers over UDP,
// TCP and TLS. It releases each relayed address.
func TestCanaryUsesWhatItMints(t *testing.T) {
	t.Parallel()
	key := canary()
	cloud, err := orgacloud.Start(orgacloud.Config{APIKey: key, TURNOverTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	const shared = "0123456789abcdef0123456789abcdef"
	cfg := core.ConfigFromEnv(core.Env{
		"ORGA_API_KEY": key, "ORGA_BASE_URL": cloud.URL(), "ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:SHARED", "SHARED": shared,
		"ORGA_RATE_LIMIT": "off",
	})
	cfg.Log = slog.New(slog.DiscardHandler)
	e := core.New(t.Context(), cfg, core.Drivers{})
	if err := e.Faults(); err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(e)
	t.Cleanup(endpoint.Close)

	store := &secrettest.AWS{}
	store.Put("orga/canary", shared)
	secrets := httptest.NewServer(store)
	t.Cleanup(secrets.Close)

	// run is one invocation, with its result and log line.
	run := func() (result, line map[string]any) {
		api, err := lambdaruntime.Start("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer api.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, filepath.Join(programs, "aws-lambda"))
		cmd.Env = append(api.Env(), "_HANDLER=canary", "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x",
			"AWS_ENDPOINT_URL_SECRETS_MANAGER="+secrets.URL, "CANARY_URL="+endpoint.URL+mint, "CANARY_HMAC_KEY_SOURCE=awssm:orga/canary")
		var output bytes.Buffer
		cmd.Stderr = &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		answer, err := api.Invoke(t.Context(), []byte(`{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}`), lambdaruntime.Options{Timeout: 30 * time.Second})
		cancel()
		_ = cmd.Wait()
		if err != nil {
			t.Fatalf("%v\n%s", err, output.String())
		}
		if secrettest.Leak(output.String(), shared) != "" {
			t.Errorf("the HMAC key is in the log: %s", output.String())
		}
		lines := bufio.NewScanner(&output)
		lines.Scan()
		if json.Unmarshal(answer, &result) != nil || json.Unmarshal(lines.Bytes(), &line) != nil || lines.Scan() {
			t.Fatalf("the answer is %s, the log %s", answer, output.String())
		}
		return result, line
	}

	result, line := run()
	turn, _ := line["turn"].(string)
	if result["ok"] != true || line["msg"] != "canary" || line["canary_ok"] != 1.0 || line["request_id"] != result["requestId"] {
		t.Errorf("%v: %v", result, line)
	}
	servers := strings.Fields(turn)
	slices.SortFunc(servers, func(a, z string) int {
		return strings.Compare(a[strings.LastIndex(a, "?")+1:], z[strings.LastIndex(z, "?")+1:])
	}) // ports differ
	if len(servers) != 2 || !strings.HasSuffix(servers[0], "?transport=tcp") || !strings.HasSuffix(servers[1], "?transport=udp") {
		t.Errorf("relays: %v", servers)
	}
	if failed, _ := line["turn_failed"].(string); !strings.HasPrefix(failed, "turns:") || !strings.Contains(failed, "certificate") {
		t.Errorf("the certificate that nobody trusts: %q", failed)
	}
	deadline := time.After(5 * time.Second)
	for again := time.NewTicker(10 * time.Millisecond); len(cloud.Stats().Relay.Active) > 0; <-again.C {
		select {
		case <-deadline:
			t.Fatalf("the canary keeps %v", cloud.Stats().Relay.Active)
		default:
		}
	}

	if err := cloud.Set(orgacloud.Knobs{Relay: "wrong credential"}); err != nil {
		t.Fatal(err)
	}
	if result, line = run(); result["ok"] != false || line["canary_failed"] != 1.0 || !strings.Contains(result["cause"].(string), "it refuses the credential") {
		t.Errorf("%v: %v", result, line)
	}
}
