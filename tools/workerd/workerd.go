// Package workerd runs the Cloudflare Worker in workerd, Cloudflare's own runtime, through miniflare. Both are
// installed from npm with wrangler, in the versions of package-lock.json. [Trials] tests behavior that other platforms
// cannot show.
package workerd

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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

// Isolate is a running Worker in its own process, whose log has the output of the Worker and the runtime.
type Isolate struct {
	*procgroup.Process
	Base string // its base URL

	stdin io.Closer
}

// listening matches miniflare's line when it listens.
var listening = regexp.MustCompile(`(?m)^(http://\S+?)/?$`)

// Start starts a Worker with the configuration of wrangler.jsonc. It returns when workerd listens; the isolate starts
// with the first request. Stop it with [Isolate.Stop].
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
	cmd := exec.CommandContext(ctx, "node", filepath.Join(o.Root, "tools", "workerd", "serve.mjs"))
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	i := &Isolate{stdin: stdin}
	if i.Process, err = procgroup.Start(cmd); err != nil {
		return nil, err
	}
	if _, err := stdin.Write(append(options, '\n')); err != nil {
		i.Stop()
		return nil, err
	}
	return i, i.Await(ctx, func(context.Context) bool {
		address := listening.FindStringSubmatch(i.Log.String())
		if address != nil {
			i.Base = address[1]
		}
		return address != nil
	})
}

// Stop ends the process. Without an input, miniflare removes its files and ends.
func (i *Isolate) Stop() {
	i.stdin.Close()
	select {
	case <-i.Done:
	case <-time.After(5 * time.Second):
	}
	i.Process.Stop()
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
