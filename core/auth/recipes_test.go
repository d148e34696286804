package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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
		{"sh", []string{"sh", "openssl", "curl"}, []string{"sh", "-euc"}},
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
