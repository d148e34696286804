// Command deploy deploys the endpoint to one platform with that platform's own tool:
//
//	go run ./deploy [--dry-run] [--yes] aws|gcp|netlify|cloudflare
//
// It checks the settings with the code that reads them at run time, and the tool, the login and the secret;
// what is missing it reports with the command that gets it. Then it prints the plan and asks for confirmation.
// With --dry-run, or DRY_RUN=1, it prints the commands and changes nothing; with --yes, or YES=1, it does not ask.
//
// The ORGA_* variables in its environment become settings of the deployment, and with TAGS=otel, which
// builds what reads them, OpenTelemetry's OTEL_* too. One that is not there stays as it was; an empty one
// goes back to its default.
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
	dry := flag.Bool("dry-run", isSet("DRY_RUN"), "print the commands, change nothing")
	yes := flag.Bool("yes", isSet("YES"), "do not ask")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	d := &deploy{environ: os.Environ(), root: "..", dry: *dry, yes: *yes, in: bufio.NewReader(os.Stdin), out: os.Stdout}
	err := d.to(ctx, flag.Arg(0))
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case errors.Is(err, errDeclined), interrupted:
		fmt.Fprintln(os.Stderr, "\nStopped. "+d.changed()) // no failure, which make would report as one
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// isSet reads a switch as make passes it: anything but empty, 0, no and false.
func isSet(name string) bool {
	return !slices.Contains([]string{"", "0", "no", "false"}, strings.ToLower(os.Getenv(name)))
}

var errDeclined = errors.New("declined")

// deploy is one deployment.
type deploy struct {
	environ  []string // NAME=value
	root     string   // of the repository
	dry, yes bool
	in       *bufio.Reader
	out      io.Writer
	done     int  // steps that were run
	chosen   bool // ORGA_AUTH was asked for
}

// changed says what a deployment that was stopped has changed.
func (d *deploy) changed() string {
	if d.done == 0 {
		return "Nothing was changed."
	}
	return fmt.Sprintf("The first %d commands above were run; running the same again goes on.", d.done)
}

// plan is what will be done: sentences for the owner, and the commands.
type plan struct {
	says   []string
	steps  [][]string
	after  string
	exists bool // there is such a deployment already, which may have ORGA_AUTH from before
}

// A missing prerequisite, and how to get it.
type missing struct{ what, get string }

func (m missing) Error() string { return m.what + "\n    " + strings.ReplaceAll(m.get, "\n", "\n    ") }

func (d *deploy) to(ctx context.Context, platform string) error {
	platforms := map[string]func(context.Context) (plan, error){"aws": d.aws, "gcp": d.gcp, "netlify": d.netlify, "cloudflare": d.cloudflare}
	prepare, ok := platforms[platform]
	if !ok {
		return errors.New("usage: deploy [--dry-run] [--yes] aws|gcp|netlify|cloudflare")
	}
	// What is wrong here would be found out only after the deployment.
	if err := errors.Join(d.checkNames(), d.checkValues()); err != nil {
		return fmt.Errorf("%w\n\nNothing was changed", err)
	}
	p, err := prepare(ctx)
	if err == nil && !p.exists {
		if err = d.chooseAuth(); err == nil && d.chosen {
			p, err = prepare(ctx)
		}
	}
	if err != nil && !d.dry {
		return err
	}
	for _, s := range p.says {
		fmt.Fprintln(d.out, s)
	}
	if d.dry {
		if err != nil {
			fmt.Fprintf(d.out, "\nFirst:\n%v\n", err)
		}
		fmt.Fprintln(d.out, "\nThe commands:")
		for _, step := range p.steps {
			fmt.Fprintln(d.out, "+ "+d.shell(step))
		}
		return nil
	}
	if !d.yes && !strings.HasPrefix(strings.ToLower(d.ask("\nDeploy? [y/N] ")), "y") {
		return errDeclined
	}
	for _, step := range p.steps {
		fmt.Fprintln(d.out, "+ "+d.shell(step))
		cmd := exec.CommandContext(ctx, step[0], step[1:]...)
		cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = d.root, d.environ, d.in, d.out, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s %s: %w", step[0], step[1], err)
		}
		d.done++
	}
	fmt.Fprintln(d.out, "\n"+p.after)
	return nil
}

// ask prints a question and reads the answer; none is "".
func (d *deploy) ask(question string) string {
	fmt.Fprint(d.out, question)
	answer, _ := d.in.ReadString('\n')
	return strings.TrimSpace(answer)
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

// query runs a command that changes nothing and gives what it says; ok is whether it succeeded.
func (d *deploy) query(ctx context.Context, args ...string) (said string, ok bool) {
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

// settings are those of the environment that may be deployed, in order; the API key never is. OTEL_* is not
// ours alone, and may lie in an environment for other programs: it counts where it would be read.
func (d *deploy) settings(refused map[string]string) ([]setting, error) {
	var list []setting
	var faults []error
	for _, entry := range d.environ {
		name, value, _ := strings.Cut(entry, "=")
		why, no := refused[name]
		switch {
		case no:
			faults = append(faults, fmt.Errorf("%s is not deployed: %s", name, why))
		case strings.HasPrefix(name, "ORGA_"), strings.HasPrefix(name, "OTEL_") && d.hasTag("otel"):
			list = append(list, setting{name, value})
		}
	}
	slices.SortFunc(list, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return list, errors.Join(faults...)
}

func (d *deploy) hasTag(tag string) bool {
	return slices.Contains(strings.Split(d.value("TAGS", ""), ","), tag)
}

// private are the settings that may hold a credential: they are passed on, and never shown. A source is among
// them, since a key may have been pasted where its place belongs.
var private = func() []string {
	names := []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"}
	for _, s := range core.Settings() {
		if s.Secret || strings.HasSuffix(s.Variable, "_SOURCE") {
			names = append(names, s.Variable)
		}
	}
	return names
}()

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
			arg = strings.ReplaceAll(arg, name+":"+v, name+":…")
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
