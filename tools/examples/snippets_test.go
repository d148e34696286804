package examples

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// harness replaces the app around a snippet, and calls the snippet's functions.
const harness = `
const take = (config) => { globalThis.taken = config; };
globalThis.OrgaAI = { init: take };
globalThis.OrgaWidget = { initWidget: take };
globalThis.getAccessToken = async () => "not-a-token";
const route = await import("./snippet.mjs");
let answer;
if (route.GET) {
  answer = await (await route.GET()).json();
} else if (route.sessionConfig) {
  answer = JSON.parse((await route.sessionConfig("user-42")).body);
} else if (taken.sessionConfigEndpoint) {
  answer = await (await fetch(taken.sessionConfigEndpoint)).json();
} else {
  answer = await taken.fetchSessionConfig();
}
if (!answer.ephemeralToken || !answer.iceServers) throw new Error(JSON.stringify(answer));
`

// The JavaScript in docs/use.md gets a session config from a real endpoint.
func TestSnippets(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("Node is not installed")
		}
		t.Skip("Node is not installed: the JavaScript of docs/use.md is not run")
	}
	page, err := os.ReadFile("../../docs/use.md")
	if err != nil {
		t.Fatal(err)
	}
	snippets := regexp.MustCompile("(?s)```js\n// ([^\n]*)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(snippets) < 6 {
		t.Fatalf("only %d snippets found", len(snippets))
	}
	const key = "a-key-shared-with-the-backend-of-the-test"
	for _, snippet := range snippets {
		t.Run(snippet[1], func(t *testing.T) {
			settings := map[string]string{
				"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": orgatest.New(t).URL, "ORGA_AUTH": "anonymous", "HMAC_KEY": key,
			}
			if strings.Contains(snippet[2], "Orga-HMAC") {
				settings["ORGA_AUTH"], settings["ORGA_AUTH_HMAC_KEY_SOURCE"] = "hmac", "env:HMAC_KEY"
			}
			endpoint := core.New(t.Context(), core.ConfigFromEnv(settings), core.Drivers{})
			if err := endpoint.Faults(); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(endpoint)
			defer server.Close()

			dir := t.TempDir()
			for name, text := range map[string]string{
				"snippet.mjs": strings.ReplaceAll(snippet[2], "https://voice.example", server.URL), "harness.mjs": harness,
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			run := exec.CommandContext(t.Context(), node, filepath.Join(dir, "harness.mjs"))
			run.Env = append(os.Environ(), "ORGA_SESSION_URL="+server.URL+"/api/orga-client-secrets", "ORGA_SESSION_HMAC_KEY="+key,
				"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1") // for NODE_USE_ENV_PROXY
			if out, err := run.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
