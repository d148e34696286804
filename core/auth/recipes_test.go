package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/problem"
)

// recipes returns the fenced blocks of docs/policy.md in a language.
func recipes(t *testing.T, language string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("the page has no block of %s", language)
	}
	return blocks
}

// The page's settings are valid.
func TestRecipesForProviders(t *testing.T) {
	n := 0
	for _, block := range recipes(t, "env") {
		settings := map[string]string{}
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			settings[name] = value
		}
		if settings["ORGA_AUTH"] != "oidc" {
			continue
		}
		n++
		if _, err := new(auth.Issuers).OIDC(auth.OIDCConfig{
			Issuer: settings["ORGA_AUTH_ISSUER"], Audiences: strings.Split(settings["ORGA_AUTH_AUDIENCE"], ","), JWKSURL: settings["ORGA_AUTH_JWKS_URL"],
		}); err != nil {
			t.Errorf("%s%v", block, err)
		}
	}
	if n != 9 {
		t.Errorf("%d recipes, want Auth0, Clerk, Cloudflare Access, Cognito, Entra ID, Firebase, Google, Supabase and App Check", n)
	}
}

// The page's Go code is the same as in the tested examples.
func TestRecipesInGo(t *testing.T) {
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range recipes(t, "go") {
		if !strings.Contains(string(examples), block) {
			t.Errorf("example_test.go does not have\n%s", block)
		}
	}
}

// The endpoint accepts the signatures of the page's shell and Node code.
func TestRecipesForHMAC(t *testing.T) {
	const key = "0123456789abcdef-of-a-test-0123456789"
	method := access.HMAC(func(context.Context) (string, *problem.Problem) { return strings.Repeat("old-", 8) + "\n" + key, nil })
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := method.Verify(r)
		fmt.Fprint(w, "minted at ", r.URL.Path, " for ", caller.Subject, err)
	}))
	defer endpoint.Close()
	for _, recipe := range []struct {
		language string
		needs    []string
		args     []string
	}{
		{"sh", []string{"sh", "python3", "curl"}, []string{"sh", "-euc"}},
		{"js", []string{"node"}, []string{"node", "--input-type=module", "-e"}},
	} {
		t.Run(recipe.language, func(t *testing.T) {
			if recipe.language == "sh" && runtime.GOOS == "windows" {
				t.Skip("the recipe is for a POSIX shell")
			}
			for _, tool := range recipe.needs {
				if _, err := exec.LookPath(tool); err != nil {
					if os.Getenv("CI") == "true" {
						t.Fatalf("%s is not installed, and CI must not skip what it proves", tool)
					}
					t.Skipf("%s is not installed: the recipe is not tried", tool)
				}
			}
			for _, path := range []string{mintPath, mintPath + "/acme"} {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				cmd := exec.CommandContext(ctx, recipe.args[0], append(recipe.args[1:], recipes(t, recipe.language)[0])...)
				cmd.Env = append(os.Environ(), "KEY="+key, "ENDPOINT="+endpoint.URL+path, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
				out, err := cmd.CombinedOutput()
				if err != nil || strings.TrimSpace(string(out)) != "minted at "+path+" for user-7<nil>" {
					t.Errorf("%v: %s", err, out)
				}
			}
		})
	}
}

// The endpoint accepts the signature of the workflow with the probe.
func TestProbeWorkflowSigns(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	workflow, err := os.ReadFile("../../docs/ci/probe.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, step, _ := strings.Cut(string(workflow), "shell: python")
	_, step, _ = strings.Cut(step, "run: |\n")
	script, _, ok := strings.Cut(step, "        env:\n")
	if !ok {
		t.Fatal("docs/ci/probe.yml has no step that signs")
	}
	const key = "0123456789abcdef-of-a-test-0123456789"
	output := filepath.Join(t.TempDir(), "output")
	cmd := exec.CommandContext(t.Context(), "python3", "-c", regexp.MustCompile(`(?m)^ {10}`).ReplaceAllString(script, ""))
	cmd.Env = append(os.Environ(), "KEY="+key, "ENDPOINT=https://voice.example"+mintPath, "GITHUB_OUTPUT="+output)
	printed, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	text, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	header, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "header=Authorization: ")
	_, sig, _ := strings.Cut(header, "sig=")
	if !ok || strings.TrimSpace(string(printed)) != "::add-mask::"+sig {
		t.Errorf("printed %s, output %s", printed, text)
	}
	method := access.HMAC(func(context.Context) (string, *problem.Problem) { return key, nil })
	r := httptest.NewRequest(http.MethodGet, mintPath, nil)
	r.Header.Set("Authorization", header)
	if caller, err := method.Verify(r); err != nil || caller.Subject != "canary" {
		t.Errorf("%v %v", caller, err)
	}
}
