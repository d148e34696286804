package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/orga-session/orga-session/tools/workerd"
)

// site is the environment of a verification.
type site struct {
	root    string // the checkout
	cache   string // installed tools; kept between runs
	scratch string // everything else; removed at the end
	source  string // a copy of the checkout, like a clone

	table                                                   *table
	goEnv                                                   map[string]string
	python, sam, schemathesis, netlifyCLI, gcloud, chromium string
	kubernetesValidate                                      string
	wrangler, workerdNPM                                    string // and the folder of both installations

	back backstage // what all endpoints share

	mu        sync.Mutex
	processes []*process
	isolates  []*workerd.Isolate
}

// again is a second copy at another path, for the reproducibility check.
func (s *site) again() string { return filepath.Join(s.scratch, "again", "elsewhere") }

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

// install installs the tools. A tool that cannot be installed fails its platform's check, but does not prevent the others.
func (s *site) install(ctx context.Context) error {
	if err := s.readGoEnv(ctx); err != nil {
		return err
	}
	s.debian(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		s.table.check(aws, toolsThere, "aws-sam-cli, awscli and moto", func() error { return s.installPython(ctx) })
	})
	wg.Go(func() {
		s.table.check(plain, toolsThere, "schemathesis", func() error { return s.installSchemathesis(ctx) })
	})
	wg.Go(func() {
		s.table.check(plain, toolsThere, "kubernetes-validate", func() error { return s.installKubernetes(ctx) })
	})
	wg.Go(func() {
		s.table.check(netlify, toolsThere, "netlify-cli", func() error { return s.installNetlify(ctx) })
	})
	wg.Go(func() {
		s.table.check(cloudflare, toolsThere, "wrangler and workerd", func() error { return s.installWrangler(ctx) })
	})
	s.table.check(google, toolsThere, "gcloud", func() error {
		if s.gcloud, _ = exec.LookPath("gcloud"); s.gcloud == "" {
			return errors.New("gcloud is not installed; get it from https://cloud.google.com/sdk/docs/install")
		}
		return nil
	})
	wg.Wait()
	return nil
}

func (s *site) readGoEnv(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	return json.Unmarshal(out, &s.goEnv)
}

// debian installs two programs from Debian's packages, on Debian and with permission. $CHROMIUM names another Chromium.
func (s *site) debian(ctx context.Context) {
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
	s.table.check(plain, toolsThere, "redis-server and chromium", func() error {
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

// installPython creates the virtual environment of sam, the AWS CLI and moto.
func (s *site) installPython(ctx context.Context) error {
	s.python, s.sam = filepath.Join(s.cache, "venv", "bin", "python"), filepath.Join(s.cache, "venv", "bin", "sam")
	return s.installVenv(ctx, "venv", "python/requirements.txt", "aws-sam-cli, awscli and moto: about a minute")
}

// installSchemathesis creates a separate one, because sam pins versions that schemathesis does not support.
func (s *site) installSchemathesis(ctx context.Context) error {
	s.schemathesis = filepath.Join(s.cache, "schemathesis", "bin", "schemathesis")
	return s.installVenv(ctx, "schemathesis", "python/schemathesis.txt", "schemathesis: about half a minute")
}

// installKubernetes installs a validator that includes the API's schemas.
func (s *site) installKubernetes(ctx context.Context) error {
	s.kubernetesValidate = filepath.Join(s.cache, "kubernetes", "bin", "kubernetes-validate")
	return s.installVenv(ctx, "kubernetes", "python/kubernetes.txt", "kubernetes-validate: a few seconds")
}

func (s *site) installVenv(ctx context.Context, name, list, slow string) error {
	venv := filepath.Join(s.cache, name)
	return s.installOnce(venv, list, slow, func(wanted string) error {
		if out, err := exec.CommandContext(ctx, "python3", "-m", "venv", venv).CombinedOutput(); err != nil {
			return fmt.Errorf("python3 -m venv: %w (on Debian: apt-get install python3-venv)\n%s", err, tail(string(out)))
		}
		return loudly(exec.CommandContext(ctx, filepath.Join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "-r", wanted))
	})
}

func (s *site) installNetlify(ctx context.Context) error {
	dir := filepath.Join(s.cache, "netlify")
	s.netlifyCLI = filepath.Join(dir, "node_modules", ".bin", "netlify")
	return s.installOnce(dir, "netlify/package-lock.json", "netlify-cli: about a minute", func(wanted string) error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for _, name := range []string{"package.json", "package-lock.json"} {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(wanted), name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				return err
			}
		}
		cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = dir
		return loudly(cmd)
	})
}

// installWrangler installs wrangler with miniflare and workerd.
func (s *site) installWrangler(ctx context.Context) (err error) {
	if s.workerdNPM, err = workerd.Install(ctx, s.root); err == nil {
		s.wrangler = filepath.Join(s.workerdNPM, "node_modules", ".bin", "wrangler")
	}
	return err
}

// installOnce installs into dir unless the installation there has the same list of versions.
func (s *site) installOnce(dir, list, slow string, install func(list string) error) error {
	list = filepath.Join(s.root, "tools", "verify", list)
	data, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	mark := filepath.Join(dir, "installed-from")
	if have, err := os.ReadFile(mark); err == nil && string(have) == hex.EncodeToString(sum[:]) {
		return nil
	}
	fmt.Fprintf(os.Stderr, "Installing %s, once.\n", slow)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := install(list); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(hex.EncodeToString(sum[:])), 0o644)
}

// loudly runs an installer, and retries once because registries sometimes fail.
func loudly(cmd *exec.Cmd) error {
	again := exec.Command(cmd.Path, cmd.Args[1:]...)
	again.Dir = cmd.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s failed, once more:\n%s\n", filepath.Base(cmd.Path), tail(string(out)))
		time.Sleep(3 * time.Second)
		if out, err := again.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, tail(string(out)))
		}
	}
	return nil
}
