// Command deploy deploys the endpoint to one platform with that platform's own tool:
//
//	go run ./deploy [--dry-run] [--yes] aws|gcp|netlify
//
// It first looks whether the tool, the login and the secret are there, and where one is not says how
// to get it. Then it says what it will do, and asks. With --dry-run, or DRY_RUN=1, it prints the
// commands and changes nothing; with --yes it does not ask.
//
// The ORGA_* variables in its environment become settings of the deployment, and with TAGS=otel, which
// builds what reads them, OpenTelemetry's OTEL_* too. One that is not there stays as it was; one that is
// set to nothing goes back to its default.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/core"
)

func main() {
	dry := flag.Bool("dry-run", os.Getenv("DRY_RUN") != "" && os.Getenv("DRY_RUN") != "0", "print the commands, change nothing")
	yes := flag.Bool("yes", false, "do not ask")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	d := &deploy{environ: os.Environ(), root: "..", dry: *dry, yes: *yes, in: os.Stdin, out: os.Stdout}
	err := d.to(ctx, flag.Arg(0))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// deploy is one deployment.
type deploy struct {
	environ  []string // NAME=value
	root     string   // of the repository
	dry, yes bool
	in       io.Reader
	out      io.Writer
}

// plan is what will be done: sentences for the owner, and the commands.
type plan struct {
	says  []string
	steps [][]string
	after string
}

// A missing prerequisite, and how to get it.
type missing struct{ what, get string }

func (m missing) Error() string { return m.what + "\n    " + strings.ReplaceAll(m.get, "\n", "\n    ") }

func (d *deploy) to(ctx context.Context, platform string) error {
	platforms := map[string]func(context.Context) (plan, error){"aws": d.aws, "gcp": d.gcp, "netlify": d.netlify}
	prepare, ok := platforms[platform]
	if !ok {
		return errors.New("usage: deploy [--dry-run] [--yes] aws|gcp|netlify")
	}
	p, err := prepare(ctx)
	if err != nil && !d.dry {
		return err
	}
	for _, s := range p.says {
		fmt.Fprintln(d.out, s)
	}
	if d.dry {
		if err != nil {
			fmt.Fprintf(d.out, "\nBefore it can be done:\n%v\n", err)
		}
		fmt.Fprintln(d.out, "\nThe commands:")
		for _, step := range p.steps {
			fmt.Fprintln(d.out, "+ "+d.shell(step))
		}
		return nil
	}
	if !d.yes {
		fmt.Fprint(d.out, "\nGo on? [y/N] ")
		said, _ := bufio.NewReader(d.in).ReadString('\n') // nothing said is a no
		if said = strings.ToLower(strings.TrimSpace(said)); said != "y" && said != "yes" {
			return errors.New("nothing was changed")
		}
	}
	for _, step := range p.steps {
		fmt.Fprintln(d.out, "+ "+d.shell(step))
		cmd := exec.CommandContext(ctx, step[0], step[1:]...)
		cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = d.root, d.environ, d.in, d.out, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s %s: %w", step[0], step[1], err)
		}
	}
	fmt.Fprintln(d.out, "\n"+p.after)
	return nil
}

// lookup finds a variable.
func (d *deploy) lookup(name string) (value string, ok bool) {
	for _, entry := range d.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// value is a variable's, or def where it is not set or empty.
func (d *deploy) value(name, def string) string {
	if v, _ := d.lookup(name); v != "" {
		return v
	}
	return def
}

// ask runs a command that changes nothing and gives what it says; ok is whether it succeeded.
func (d *deploy) ask(ctx context.Context, args ...string) (said string, ok bool) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = d.root, d.environ
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err == nil
}

// need is an error unless the tools are there.
func need(tools map[string]string) error {
	var faults []error
	for name, get := range tools {
		if _, err := exec.LookPath(name); err != nil {
			faults = append(faults, missing{name + " is not installed.", get})
		}
	}
	return errors.Join(faults...)
}

// setting is one ORGA_* or OTEL_* variable that was given.
type setting struct{ name, value string }

// settings are those of the environment that may be deployed, in order; the API key never is. What begins
// with ORGA_ and is none is refused: it would be deployed, and read by nobody. OTEL_* is not ours alone, and
// may lie in an environment for other programs: it counts where it would be read.
func (d *deploy) settings(refused map[string]string) ([]setting, error) {
	var list []setting
	var faults []error
	known := settingNames()
	for _, entry := range d.environ {
		name, value, _ := strings.Cut(entry, "=")
		why, no := refused[name]
		switch ours := strings.HasPrefix(name, "ORGA_"); {
		case no:
			faults = append(faults, fmt.Errorf("%s is not deployed: %s", name, why))
		case ours && !known[name]:
			faults = append(faults, fmt.Errorf("%s is no setting; docs/settings.md has all of them", name))
		case ours, strings.HasPrefix(name, "OTEL_") && d.hasTag("otel"):
			list = append(list, setting{name, value})
		}
	}
	slices.SortFunc(list, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return list, errors.Join(faults...)
}

// settingNames are the names of all settings.
func settingNames() map[string]bool {
	names := make(map[string]bool)
	for _, s := range core.Settings() {
		names[s.Variable] = true
	}
	return names
}

func (d *deploy) hasTag(tag string) bool {
	return slices.Contains(strings.Split(d.value("TAGS", ""), ","), tag)
}

// private are the settings that may hold a password: they are passed on, and never shown.
var private = []string{
	"ORGA_RATE_LIMIT_STORE", "ORGA_AWS_SECRET_ACCESS_KEY", "ORGA_AWS_SESSION_TOKEN",
	"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
}

// shell writes a command as one would type it.
func (d *deploy) shell(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		for _, name := range private {
			v, ok := d.lookup(name)
			if !ok || v == "" {
				continue
			}
			// As each platform's tool takes it: alone, in a list, as a parameter.
			if arg == v {
				arg = "…"
			}
			arg = strings.ReplaceAll(arg, name+"="+v, name+"=…")
			arg = strings.ReplaceAll(arg, parameter(name, v), parameter(name, "…"))
		}
		if strings.ContainsFunc(arg, func(r rune) bool { return !strings.ContainsRune(plainInShell, r) }) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		quoted[i] = arg
	}
	return strings.Join(quoted, " ")
}

const plainInShell = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+/.,:@^%"

// noAuth warns of a deployment that will refuse everybody.
func (d *deploy) noAuth() string {
	if _, ok := d.lookup("ORGA_AUTH"); ok {
		return ""
	}
	return "ORGA_AUTH is not given: a first deployment will refuse to mint until it is (README, Settings)."
}

// tags says what is built in besides, or that settings are left out because nothing would read them.
func (d *deploy) tags() string {
	tags := d.value("TAGS", "")
	switch {
	case tags != "":
		return "It is built with TAGS=" + tags + ", from the environment of the commands."
	case slices.ContainsFunc(d.environ, func(entry string) bool { return strings.HasPrefix(entry, "OTEL_EXPORTER_OTLP_") }):
		return "OTEL_* is in the environment, and is not deployed: nothing in this build reads it. TAGS=otel builds OpenTelemetry in (docs/operate.md)."
	}
	return ""
}

// compact drops the empty sentences.
func compact(says ...string) []string {
	return slices.DeleteFunc(says, func(s string) bool { return s == "" })
}
