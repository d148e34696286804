//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
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

	server   string // the endpoint as a plain HTTP server
	profiled string // the same with a profiler in it
	tuned    string // the two calls on net/http and nothing else
	google   string // the function for Google Cloud, which takes callers from X-Forwarded-For
	function string // the Lambda binary, built for this machine
	zipped   int    // bytes of the deployed zip
	nodeDir  string // the Node peer with its packages
	node     string // the Node binary in it

	certificate tls.Certificate
	authority   string // PEM file
}

// newLab builds and installs everything on both cores, and then restricts this process to one.
func newLab(ctx context.Context, p plan) (_ *lab, err error) {
	l := &lab{plan: p, ctx: ctx, began: time.Now()}
	tested, rest, err := twoCores()
	if err != nil {
		return nil, err
	}
	if l.root, err = l.command("", nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/orga-session/orga-session"); err != nil {
		return nil, err
	}
	if l.scratch, err = os.MkdirTemp("", "orga-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
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
	if err = errors.Join(l.build(), l.installNode()); err != nil {
		return nil, err
	}
	return l, confine(rest)
}

func (l *lab) close() { _ = os.RemoveAll(l.scratch) }

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
	overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{ // strings always marshal
		filepath.Join(l.root, "profile.go"): filepath.Join(tools, "bench", "testdata", "profile.go"),
	}})
	overlayFile := filepath.Join(l.scratch, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return err
	}
	for i, b := range []struct {
		out      *string
		dir, pkg string
		flags    []string
	}{
		{&l.server, l.root, ".", nil},
		{&l.profiled, l.root, ".", []string{"-overlay", overlayFile}},
		{&l.tuned, tools, "./bench/tuned", nil},
		{&l.google, tools, "./entrypoints/gcp", nil},
		{&l.function, l.root, "./aws-lambda", nil},
	} {
		*b.out = filepath.Join(l.scratch, fmt.Sprint("program-", i))
		args := append([]string{"build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", *b.out}, b.flags...)
		if _, err := l.command(b.dir, []string{"CGO_ENABLED=0"}, "go", append(args, b.pkg)...); err != nil {
			return err
		}
	}
	deployed := filepath.Join(l.scratch, "deployed")
	if _, err := l.command(l.root, nil, "make", "build-OrgaSessionFunction", "ARTIFACTS_DIR="+deployed); err != nil {
		return err
	}
	size, err := l.command(deployed, nil, "sh", "-c", "gzip -9 -c bootstrap | wc -c") // the size of a zip, within 150 bytes
	if err != nil {
		return err
	}
	l.zipped, err = strconv.Atoi(size)
	return err
}

// installNode installs the peer and its Node from the lock file into .cache, once for each lock file.
func (l *lab) installNode() error {
	source := filepath.Join(l.root, "tools", "bench", "node")
	l.nodeDir = filepath.Join(l.root, ".cache", "bench", "node")
	l.node = filepath.Join(l.nodeDir, "node_modules", "node", "bin", "node")
	stamp := filepath.Join(l.nodeDir, "installed-lock.json")
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		return err
	}
	installed, _ := os.ReadFile(stamp) // missing the first time
	if string(installed) != string(lock) {
		if err := os.RemoveAll(l.nodeDir); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(source)
	err = errors.Join(err, os.MkdirAll(l.nodeDir, 0o755))
	for _, entry := range entries {
		text, rerr := os.ReadFile(filepath.Join(source, entry.Name()))
		err = errors.Join(err, rerr, os.WriteFile(filepath.Join(l.nodeDir, entry.Name()), text, 0o644))
	}
	if err != nil || string(installed) == string(lock) {
		return err
	}
	l.progress("installing Node and the peer's packages into %s, once; aws-lambda-ric compiles native code, which takes some minutes", l.nodeDir)
	if _, err := l.command(l.nodeDir, nil, "npm", "ci", "--no-audit", "--no-fund"); err != nil {
		return err
	}
	return os.WriteFile(stamp, lock, 0o644)
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
