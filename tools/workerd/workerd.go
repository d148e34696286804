// Package workerd runs the Cloudflare Worker in workerd, Cloudflare's own runtime, through miniflare. Both are installed
// from npm with wrangler, in the versions of package-lock.json. [Trials] tests behavior that other platforms cannot show.
package workerd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/tools/npm"
	"github.com/orga-session/orga-session/tools/procgroup"
)

// Install installs wrangler, miniflare and workerd into .cache. It returns the folder, for [Options].NPM.
func Install(ctx context.Context, root string) (folder string, err error) {
	folder = filepath.Join(root, ".cache", "workerd")
	return folder, npm.Install(ctx, filepath.Join(root, "tools", "workerd"), folder, "wrangler and workerd take about half a minute")
}

// Options describe a Worker.
type Options struct {
	Root    string            // of the repository
	NPM     string            // the folder with the installed package-lock.json
	Dir     string            // the Worker's modules
	Entry   string            // the entry module
	Flags   []string          // compatibility flags in addition to those of wrangler.jsonc
	Vars    map[string]string // its variables and secrets
	Secrets map[string]string // Secrets Store bindings with their values; "" for a missing secret
}

// Isolate is a running Worker in its own process.
type Isolate struct {
	Base string // its base URL

	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}
	mu    sync.Mutex
	log   strings.Builder
}

// Start starts a Worker with the configuration of wrangler.jsonc. It returns when workerd listens; the isolate starts with
// the first request. Stop it with [Isolate.Stop].
func Start(ctx context.Context, o Options) (*Isolate, error) {
	config, err := readConfig(o.Root)
	if err != nil {
		return nil, err
	}
	options, err := json.Marshal(map[string]any{
		"npm": o.NPM, "dir": o.Dir, "entry": o.Entry, "vars": o.Vars, "secrets": o.Secrets,
		"compatibility_date": config.CompatibilityDate, "compatibility_flags": append(config.CompatibilityFlags, o.Flags...),
	})
	if err != nil {
		return nil, err
	}
	i := &Isolate{done: make(chan struct{})}
	i.cmd = exec.CommandContext(ctx, "node", filepath.Join(o.Root, "tools", "workerd", "serve.mjs"))
	procgroup.Set(i.cmd)
	i.cmd.Cancel = func() error { return procgroup.Signal(i.cmd, syscall.SIGKILL) }
	i.cmd.Env = append(os.Environ(), "NO_COLOR=1")
	stdin, err := i.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	i.stdin = stdin
	stdout, err := i.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	i.cmd.Stderr = i.cmd.Stdout
	if err := i.cmd.Start(); err != nil {
		return nil, err
	}
	address := make(chan string, 1)
	go func() {
		i.read(stdout, address)
		_ = i.cmd.Wait() // its log shows how it ended
		close(i.done)
	}()
	if _, err := stdin.Write(append(options, '\n')); err != nil {
		i.Stop()
		return nil, err
	}
	select {
	case i.Base = <-address:
		return i, nil
	case <-i.done:
		return nil, fmt.Errorf("miniflare ended:\n%s", i.Log())
	case <-time.After(time.Minute):
		i.Stop()
		return nil, fmt.Errorf("miniflare did not come up:\n%s", i.Log())
	}
}

// read collects the process's output, except the address.
func (i *Isolate) read(output io.Reader, address chan<- string) {
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		if base, ok := strings.CutPrefix(line, "http://"); ok && i.Base == "" && len(address) == 0 {
			address <- "http://" + strings.TrimRight(base, "/\n")
		} else {
			i.mu.Lock()
			i.log.WriteString(line)
			i.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// Stop ends the process.
func (i *Isolate) Stop() {
	i.stdin.Close()
	select {
	case <-i.done:
	case <-time.After(5 * time.Second):
		_ = procgroup.Signal(i.cmd, syscall.SIGKILL)
		<-i.done
	}
}

// Log returns the output of the Worker and the runtime.
func (i *Isolate) Log() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log.String()
}

// config has the settings of wrangler.jsonc that affect the Worker's behavior.
type config struct {
	CompatibilityDate  string   `json:"compatibility_date"`
	CompatibilityFlags []string `json:"compatibility_flags"`
}

// readConfig reads wrangler.jsonc, whose comments are on separate lines.
func readConfig(root string) (c config, err error) {
	text, err := os.ReadFile(filepath.Join(root, "cloudflare", "wrangler.jsonc"))
	if err != nil {
		return c, err
	}
	var bare strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "//") {
			bare.WriteString(line)
		}
	}
	return c, json.Unmarshal([]byte(bare.String()), &c)
}
