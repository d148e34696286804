package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/orga-session/orga-session/tools/npm"
	"github.com/orga-session/orga-session/tools/workerd"
)

// suite is a run of all checks.
type suite struct {
	root    string // the checkout
	cache   string // installed tools; kept between runs
	scratch string // everything else; removed at the end
	source  string // a copy of the checkout, like a clone

	table                                              *table
	goEnv                                              map[string]string
	awsBin, schemathesisBin, kubernetesBin, netlifyBin string // folders of installed programs; "" if that failed
	wrangler, workerdNPM                               string // and the folder of both installations
	gcloud, chromium                                   string

	fixtures fixtures // what all endpoints share

	mu      sync.Mutex
	servers []interface{ Stop() } // that are running
}

// secondCopy is a second copy at another path, for the reproducibility check.
func (s *suite) secondCopy() string { return filepath.Join(s.scratch, "again", "elsewhere") }

// copyTree copies the files that a clone of root would have, including uncommitted changes.
func copyTree(ctx context.Context, root, to string) error {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		from := filepath.Join(root, name)
		info, err := os.Lstat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, but not committed yet
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), data, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// install installs the tools. A tool that cannot be installed fails its platform's check, but does not prevent the
// others.
func (s *suite) install(ctx context.Context) error {
	if err := s.readGoEnv(ctx); err != nil {
		return err
	}
	s.debian(ctx)
	var wg sync.WaitGroup
	for _, t := range []struct {
		platform, what string
		list           string // in tools: a requirements file, or a folder with a package-lock.json
		dir            string // in .cache
		bin            *string
	}{
		{aws, "aws-sam-cli, awscli and moto take about a minute", "verify/python/requirements.txt", "venv", &s.awsBin},
		{plain, "schemathesis takes about half a minute", "verify/python/schemathesis.txt", "schemathesis", &s.schemathesisBin}, // apart: sam pins versions that it does not support
		{plain, "kubernetes-validate takes a few seconds", "verify/python/kubernetes.txt", "kubernetes", &s.kubernetesBin},
		{netlify, "netlify-cli takes about a minute", "verify/netlify", "netlify", &s.netlifyBin},
	} {
		wg.Go(func() {
			name, _, _ := strings.Cut(t.what, " take")
			s.table.check(t.platform, toolsInstalled, name, func() (err error) {
				list, dir, bin := filepath.Join(s.root, "tools", t.list), filepath.Join(s.cache, t.dir), "bin"
				if strings.HasSuffix(list, ".txt") {
					err = installVenv(ctx, list, dir, t.what)
				} else {
					bin, err = "node_modules/.bin", npm.Install(ctx, list, dir, t.what)
				}
				if err == nil {
					*t.bin = filepath.Join(dir, bin)
				}
				return err
			})
		})
	}
	wg.Go(func() {
		s.table.check(cloudflare, toolsInstalled, "wrangler and workerd", func() error { return s.installWrangler(ctx) })
	})
	s.table.check(google, toolsInstalled, "gcloud", func() error {
		if s.gcloud, _ = exec.LookPath("gcloud"); s.gcloud == "" {
			return errors.New("gcloud is not installed; get it from https://cloud.google.com/sdk/docs/install")
		}
		return nil
	})
	wg.Wait()
	return nil
}

func (s *suite) readGoEnv(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	return json.Unmarshal(out, &s.goEnv)
}

// debian installs two programs from Debian's packages, on Debian and with permission. $CHROMIUM names another Chromium.
func (s *suite) debian(ctx context.Context) {
	chromium := cmp.Or(os.Getenv("CHROMIUM"), "chromium")
	needed := map[string]string{"redis-server": "redis-server", "chromium": chromium} // package → program
	var missing []string
	for name, program := range needed {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 && os.Geteuid() == 0 {
		fmt.Fprintln(os.Stderr, "Installing", strings.Join(missing, " and "), "with apt-get.")
		_ = exec.CommandContext(ctx, "apt-get", "update", "-qq").Run() // if this fails, the install reports it
		_ = exec.CommandContext(ctx, "apt-get", append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)...).Run()
	}
	s.table.check(plain, toolsInstalled, "redis-server and chromium", func() error {
		var faults []error
		for name, program := range needed {
			if _, err := exec.LookPath(program); err != nil {
				faults = append(faults, fmt.Errorf("%s is not installed; on Debian: apt-get install %s", program, name))
			}
		}
		s.chromium, _ = exec.LookPath(chromium)
		return errors.Join(faults...)
	})
}

// installWrangler installs wrangler with miniflare and workerd.
func (s *suite) installWrangler(ctx context.Context) (err error) {
	if s.workerdNPM, err = workerd.Install(ctx, s.root); err == nil {
		s.wrangler = filepath.Join(s.workerdNPM, "node_modules", ".bin", "wrangler")
	}
	return err
}

// installVenv installs a list of packages into a Python virtual environment, unless it has the same list already.
func installVenv(ctx context.Context, list, venv, note string) error {
	wanted, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	stamp := filepath.Join(venv, "installed.txt")
	if installed, err := os.ReadFile(stamp); err == nil && bytes.Equal(installed, wanted) {
		return nil
	}
	fmt.Fprintf(os.Stderr, "Installing Python packages into %s, once: %s.\n", venv, note)
	if err := os.RemoveAll(venv); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "python3", "-m", "venv", venv).CombinedOutput(); err != nil {
		return fmt.Errorf("python3 -m venv: %w (on Debian: apt-get install python3-venv)\n%s", err, out)
	}
	for range 2 { // registries sometimes fail
		var out []byte
		if out, err = exec.CommandContext(ctx, filepath.Join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "-r", list).CombinedOutput(); err == nil {
			return os.WriteFile(stamp, wanted, 0o600)
		}
		err = fmt.Errorf("pip install: %w\n%s", err, out)
	}
	return err
}
