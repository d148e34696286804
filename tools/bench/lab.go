package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/orga-session/orga-session/tools/bench/proc"
	"github.com/orga-session/orga-session/tools/bench/standin"
)

// lab is what all measurements share: the built programs, the two cores and a scratch folder.
type lab struct {
	plan
	ctx     context.Context
	began   time.Time
	root    string // of the repository
	scratch string
	cores   proc.Cores

	server   string // the endpoint in a net/http server
	function string // the Lambda binary, for this machine's architecture
	zipped   int64  // the size of the zip that would be deployed
	node     string // the folder of the Node peer, its packages installed

	certificate *tls.Certificate
	authority   string // the file of the certificate authority
	bundle      string // the same with the system's authorities
	noBundle    string // an empty folder
	trust       *tls.Config
}

// newLab builds everything, which may use both cores, and then goes to its own.
func newLab(ctx context.Context, p plan) (_ *lab, err error) {
	l := &lab{plan: p, ctx: ctx, began: time.Now()}
	if l.cores, err = proc.TwoCores(); err != nil {
		return nil, err
	}
	if l.root, err = l.output("", nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/orga-session/orga-session"); err != nil {
		return nil, err
	}
	if l.scratch, err = os.MkdirTemp("", "orga-bench-"); err != nil {
		return nil, err
	}
	for _, step := range []func() error{l.build, l.installNode, l.makeTrust} {
		if err := step(); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, proc.Confine(l.cores.Rest)
}

func (l *lab) close() error { return os.RemoveAll(l.scratch) }

// say reports progress.
func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

// build makes the programs as they are deployed, with the flags of the Makefile.
func (l *lab) build() error {
	l.say("building the endpoint")
	l.server = filepath.Join(l.scratch, "orgaserver")
	l.function = filepath.Join(l.scratch, "bootstrap")
	flags := []string{"build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o"}
	static := []string{"CGO_ENABLED=0"}
	if _, err := l.output(filepath.Join(l.root, "tools"), static, "go", append(flags, l.server, "./bench/orgaserver")...); err != nil {
		return err
	}
	if _, err := l.output(l.root, static, "go", append(flags, l.function, "./aws-lambda")...); err != nil {
		return err
	}
	deployed := filepath.Join(l.scratch, "deployed")
	if _, err := l.output(l.root, nil, "make", "build-OrgaSessionFunction", "ARTIFACTS_DIR="+deployed); err != nil {
		return err
	}
	var err error
	l.zipped, err = zippedSize(filepath.Join(deployed, "bootstrap"))
	return err
}

// installNode installs the Node peer's packages as its lock file has them, once for each lock file.
func (l *lab) installNode() error {
	source := filepath.Join(l.root, "tools", "bench", "node")
	l.node = filepath.Join(l.root, ".cache", "bench", "node")
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		return err
	}
	installed, _ := os.ReadFile(filepath.Join(l.node, "installed-lock.json")) // none the first time
	if err := os.MkdirAll(l.node, 0o755); err != nil {
		return err
	}
	if err := copyFiles(l.node, source); err != nil {
		return err
	}
	if string(installed) == string(lock) {
		return nil
	}
	l.say("installing the Node peer's packages; aws-lambda-ric builds native code for about a minute, once")
	if _, err := l.output(l.node, nil, "npm", "ci"); err != nil {
		// Without a C++ compiler, all but the Lambda function can still be measured.
		l.say("installing them without native code, as that failed: %v", err)
		if _, err := l.output(l.node, nil, "npm", "ci", "--ignore-scripts"); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(l.node, "installed-lock.json"), lock, 0o644)
}

func copyFiles(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, entry.Name()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// makeTrust makes the stand-in's certificate and what has the peers trust it. Go gets it in one bundle
// with the system's own authorities, as it finds them on Lambda, where reading them is part of a cold
// start; Node has its own in its binary, and adds this one.
func (l *lab) makeTrust() (err error) {
	l.authority = filepath.Join(l.scratch, "authority.pem")
	if l.certificate, err = standin.Certificate(l.authority); err != nil {
		return err
	}
	text, err := os.ReadFile(l.authority)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	l.trust = &tls.Config{RootCAs: pool}
	for _, bundle := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"} {
		if system, err := os.ReadFile(bundle); err == nil {
			text = append(text, system...)
			break
		}
	}
	l.bundle, l.noBundle = filepath.Join(l.scratch, "bundle.pem"), filepath.Join(l.scratch, "no-more-authorities")
	return errors.Join(os.WriteFile(l.bundle, text, 0o600), os.Mkdir(l.noBundle, 0o700))
}

// output runs a tool and returns what it printed, without the last newline.
func (l *lab) output(dir string, env []string, name string, args ...string) (string, error) {
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
