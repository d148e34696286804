// Command wasmtest runs the tests of the Cloudflare Worker's packages as the Worker runs them: compiled for js/wasm, on
// one thread, under Node.js. It skips tests that cannot pass there, and prints the reason for each.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

const module = "github.com/orga-session/orga-session/"

// Reasons why a test cannot run there.
const (
	noControl = "Go's network on js, which is in memory, has no hook for a dial"
	noTLS     = "TLS over Go's network on js does not end a handshake that fails"
	noThread  = "it holds one thread and waits for another"
	slow      = "it takes minutes there: thousands of signatures on one thread"
	clock     = "it measures real time, and one thread is too slow for it"
	noProcess = "it starts other programs"
	notUsed   = "a Worker connects by fetch"
)

// skipped lists the skipped tests; "" skips a whole package.
var skipped = []struct{ pkg, test, why string }{
	{"core", "TestHangingRequestBody/a_GET", clock},
	{"core", "TestConnectionReuseAfterBody", clock},
	{"core", "TestTenantIssuerKeys", noControl},
	{"core", "TestTenantBaseURLAtDial", noControl},
	{"core", "TestConcurrentTenants", clock},
	{"core/auth", "TestOIDCCooldown", noThread},
	{"core/auth", "TestOIDCRefuses/fault_19", clock},
	{"core/auth", "TestMemoryKeepsUsedTokens", slow},
	{"core/auth", "TestRecipesForHMAC", noProcess},
	{"core/orga", "TestKinds/untrusted_certificate", noTLS},
	{"core/ratelimit/redisrest", "TestConformance", noProcess},
	{"core/ratelimit/redisrest", "TestConnections", noProcess},
	{"core/ratelimit/redisrest", "TestFault29FallsBackAndRecovers", noProcess},
	{"core/ratelimit/redisrest", "TestWrongToken", noProcess},
	{"core/ratelimit/redisrest", "TestPing", noProcess},
	{"core/internal/egress", "", notUsed},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "wasmtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	packages, err := tool(ctx, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cloudflare")
	if err != nil {
		return err
	}
	goroot, err := tool(ctx, "env", "GOROOT")
	if err != nil {
		return err
	}
	failed := false
	for path := range strings.FieldsSeq(packages) {
		pkg, ours := strings.CutPrefix(path, module)
		if !ours {
			continue
		}
		var skip []string
		whole := false
		for _, c := range skipped {
			if c.pkg == pkg {
				fmt.Printf("skip  %s %s: %s\n", pkg, cmp.Or(c.test, "(all of it)"), c.why)
				skip, whole = append(skip, "^"+strings.ReplaceAll(c.test, "/", "$/^")), whole || c.test == ""
			}
		}
		if whole {
			continue
		}
		cmd := command(ctx, "test", "-short", "-exec", filepath.Join(goroot, "lib", "wasm", "go_js_wasm_exec"), "-skip", strings.Join(skip, "|"), "./"+pkg)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		failed = cmd.Run() != nil || failed
	}
	if failed {
		return fmt.Errorf("tests fail on js/wasm")
	}
	return nil
}

func tool(ctx context.Context, args ...string) (string, error) {
	cmd := command(ctx, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	return cmd
}
