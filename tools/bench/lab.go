//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/tools/npm"
)

// lab is shared by all measurements: the built programs, the launcher and a scratch folder.
type lab struct {
	plan
	ctx      context.Context
	began    time.Time
	root     string // of the repository
	scratch  string
	launcher *launcher
	ends     []func() error

	programs map[string]string // binaries by name
	zipped   int               // bytes of the deployed zip
	nodeDir  string            // the Node peer with its packages
	node     string            // the Node binary in it

	certificate tls.Certificate
	authority   string // PEM file
}

// newLab builds and installs everything on both cores, and then restricts this process to one.
func newLab(ctx context.Context, p plan, scratch string) (*lab, error) {
	l := &lab{plan: p, ctx: ctx, began: time.Now(), scratch: scratch, programs: make(map[string]string)}
	tested, rest, err := twoCores()
	if err != nil {
		return nil, err
	}
	if l.root, err = l.command("", nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/orga-session/orga-session"); err != nil {
		return nil, err
	}
	fake := httptest.NewTLSServer(nil) // its certificate for 127.0.0.1 is its own authority
	fake.Close()
	l.certificate = fake.TLS.Certificates[0]
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: fake.Certificate().Raw})
	l.authority = filepath.Join(l.scratch, "authority.pem")
	etc := filepath.Join(l.scratch, "etc")
	if err = errors.Join(os.WriteFile(l.authority, authority, 0o644), writeAuthorities(etc, authority)); err != nil {
		return nil, err
	}
	if l.launcher, err = newLauncher(tested, etc); err != nil {
		return nil, err
	}
	if err = l.build(); err != nil {
		return nil, err
	}
	l.nodeDir = filepath.Join(l.root, ".cache", "bench", "node")
	l.node = filepath.Join(l.nodeDir, "node_modules", "node", "bin", "node")
	const note = "aws-lambda-ric compiles native code, which takes some minutes"
	if err = npm.Install(ctx, filepath.Join(l.root, "tools", "bench", "node"), l.nodeDir, note); err != nil {
		return nil, err
	}
	return l, confine(rest)
}

// atEnd registers f to be called at the end of the current part.
func (l *lab) atEnd(f func() error) { l.ends = append(l.ends, f) }

// end calls the functions of [lab.atEnd], the last one first.
func (l *lab) end() (err error) {
	for _, f := range slices.Backward(l.ends) {
		err = errors.Join(err, f())
	}
	l.ends = nil
	return err
}

func (l *lab) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

// build builds the programs with the Makefile's flags.
func (l *lab) build() error {
	l.progress("building")
	tools := filepath.Join(l.root, "tools")
	overlay := fmt.Sprintf(`{"Replace":{%q:%q}}`, filepath.Join(l.root, "profile.go"), filepath.Join(tools, "bench", "testdata", "profile.go"))
	overlayFile := filepath.Join(l.scratch, "overlay.json")
	if err := os.WriteFile(overlayFile, []byte(overlay), 0o600); err != nil {
		return err
	}
	for i, b := range []struct{ name, dir, pkg, overlay string }{
		{ours, l.root, ".", ""},
		{profiled, l.root, ".", overlayFile},
		{tuned, tools, "./bench/tuned", ""},
		{google, tools, "./entrypoints/gcp", ""},
		{function, l.root, "./aws-lambda", ""},
	} {
		l.programs[b.name] = filepath.Join(l.scratch, fmt.Sprint("program-", i))
		if _, err := l.command(b.dir, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc",
			"-ldflags", "-s -w", "-overlay", b.overlay, "-o", l.programs[b.name], b.pkg); err != nil {
			return err
		}
	}
	// A zip has the size of the compressed binary, within 150 bytes.
	const zipped = `make build-OrgaSessionFunction build-cloudflare ARTIFACTS_DIR="$0" >&2 && gzip -9 -c "$0/bootstrap" | wc -c`
	size, err := l.command(l.root, nil, "sh", "-c", zipped, filepath.Join(l.scratch, "deployed"))
	if err == nil {
		l.zipped, err = strconv.Atoi(size)
	}
	return err
}

// command runs a tool and returns its output, without surrounding white space.
func (l *lab) command(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(l.ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
