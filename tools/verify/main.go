// Command verify runs each platform's own tools on the deployed artifacts, without an account. sam, gcloud, netlify and
// wrangler validate and build the bundle; it then runs as on its platform, and all platforms must answer one table of
// requests alike. It prints a table of platforms and checks, and fails if a check fails. It installs tools into .cache,
// and stops everything that it starts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// The platforms (columns of the table). The four triggers of Lambda are one deployment.
const (
	plain       = "net/http"
	aws         = "AWS"
	restAPI     = "REST API"
	httpAPI     = "HTTP API"
	functionURL = "Function URL"
	alb         = "ALB"
	albMulti    = "ALB, multi"
	google      = "Google"
	netlify     = "Netlify"
	cloudflare  = "Cloudflare"
)

// The checks (rows of the table).
const (
	toolsInstalled = "tools"
	accepted       = "accepted by its tool"
	built          = "built by its tool"
	deployPage     = "deploy page"
	deployed       = "deployed artifact"
	store          = "secret store"
	routes         = "routes"
	conformance    = "conformance"
	client         = "client contract"
	isolated       = "isolate"
	sessions       = "sessions"
	fuzzed         = "OpenAPI"
	reproduced     = "reproducible"
)

func main() {
	isolateOnly := flag.Bool("isolate", false, "only what the Worker does in an isolate")
	mints := flag.Int("mints", 2000, "mints of the burst on an isolate")
	flag.Parse()
	if runtime.GOOS != "linux" {
		fmt.Fprintln(os.Stderr, "verify runs what the platforms run, which are Linux programs: use a Linux machine or container, or WSL on Windows.")
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 40*time.Minute)
	ok, err := verify(ctx, *isolateOnly, *mints)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func verify(ctx context.Context, isolateOnly bool, mints int) (ok bool, err error) {
	began := time.Now()
	root, err := filepath.Abs("..")
	if err != nil {
		return false, err
	}
	scratch, err := os.MkdirTemp("", "orga-verify-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(scratch)
	s := &suite{
		root: root, cache: filepath.Join(root, ".cache"), scratch: scratch, source: filepath.Join(scratch, "source"),
		table: newTable(
			[]string{plain, aws, restAPI, httpAPI, functionURL, alb, albMulti, google, netlify, cloudflare},
			[]string{toolsInstalled, accepted, built, deployPage, deployed, store, routes, conformance, client, isolated, sessions, fuzzed, reproduced}),
	}
	defer s.stopAll()
	for _, to := range []string{s.source, s.secondCopy()} {
		if err := copyTree(ctx, root, to); err != nil {
			return false, fmt.Errorf("copy the checkout: %w", err)
		}
	}
	if isolateOnly {
		s.onlyIsolate(ctx, mints)
		s.table.print(os.Stdout)
		return s.table.passed(), ctx.Err()
	}
	if err := s.install(ctx); err != nil {
		return false, err
	}
	s.table.check(plain, accepted, "kubernetes-validate --strict accepts docs/kubernetes", func() error {
		_, err := s.run(ctx, s.source, nil, filepath.Join(s.kubernetesBin, "kubernetes-validate"), "--strict", "--quiet", filepath.Join("docs", "kubernetes", "orga-session.yaml"))
		return err
	})
	if err := s.startFixtures(ctx); err != nil {
		return false, err
	}

	reference, err := s.startReference(ctx)
	if err != nil {
		return false, err
	}
	want := s.conform(ctx, reference, nil)

	platforms := []func(context.Context) []*endpoint{s.aws, s.google, s.netlify, s.cloudflare}
	running := make([][]*endpoint, len(platforms))
	var wg sync.WaitGroup
	for i, start := range platforms {
		wg.Go(func() {
			running[i] = start(ctx)
			for _, e := range running[i] {
				s.conform(ctx, e, want)
			}
		})
	}
	wg.Wait()
	all := append(slices.Concat(running...), reference)
	s.checkInBrowser(ctx, all)
	s.checkWebCrypto(ctx, reference)
	s.fuzz(ctx, reference)
	s.checkStoreDown(ctx, all)
	s.stopAll()
	s.isolate(ctx, mints) // alone, because some of it measures time
	s.sessions(ctx)
	s.reproduce(ctx)

	s.table.print(os.Stdout)
	fmt.Printf("\n%s in all.\n", time.Since(began).Round(time.Second))
	return s.table.passed(), ctx.Err()
}
