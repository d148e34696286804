// Command deploy deploys the endpoint to one platform with that platform's own tool:
//
//	go run ./deploy [--dry-run] [--yes] aws|gcp|netlify|cloudflare
//
// It validates the settings with the code that reads them at run time, and checks the tool, the login and the
// secret. For each missing prerequisite it prints the command that provides it. Then it prints the plan and asks
// for confirmation. --dry-run (or DRY_RUN=1) prints the commands and changes nothing; --yes (or YES=1) skips the
// confirmation.
//
// ORGA_* variables in its environment become settings of the deployment. So do OTEL_* variables, but only with
// TAGS=otel, because other builds do not read them. A variable that is not set keeps its deployed value; an empty
// one resets it to the default.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/orga-session/orga-session/core"
)

func main() {
	dry := flag.Bool("dry-run", isSet("DRY_RUN"), "print the commands without running them")
	yes := flag.Bool("yes", isSet("YES"), "skip the confirmation")
	flag.Parse()
	ctx := untilSignal()
	d := &deploy{env: core.Environ(os.Environ()), root: "..", dry: *dry, yes: *yes, in: os.Stdin, out: os.Stdout}
	err := d.to(ctx, flag.Arg(0))
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTerminated):
		fmt.Fprintln(os.Stderr, "\nStopped. "+d.changed())
		os.Exit(1)
	case errors.Is(err, errDeclined), errors.Is(cause, errInterrupted):
		fmt.Fprintln(os.Stderr, "\nStopped. "+d.changed()) // exit code 0: make would report any other as an error
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// untilSignal returns a context that a signal cancels, with the cause errInterrupted or errTerminated.
func untilSignal() context.Context {
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		signal.Notify(signals, syscall.SIGHUP) // the terminal was closed
	}
	go func() {
		if <-signals == os.Interrupt {
			stop(errInterrupted)
		} else {
			stop(errTerminated)
		}
	}()
	return ctx
}

// isSet reports whether a switch is on, as make passes it: anything but empty, 0, no and false.
func isSet(name string) bool {
	return !slices.Contains([]string{"", "0", "no", "false"}, strings.ToLower(os.Getenv(name)))
}

var (
	errDeclined    = errors.New("declined")
	errInterrupted = errors.New("interrupted")
	errTerminated  = errors.New("terminated")
)

type deploy struct {
	env      core.Env
	root     string // of the repository
	dry, yes bool
	in       io.Reader
	out      io.Writer
	done     int  // number of steps that succeeded
	chosen   bool // the user was asked for ORGA_AUTH
}

// changed reports how far a stopped deployment got.
func (d *deploy) changed() string {
	if d.done == 0 {
		return "Nothing was changed."
	}
	return fmt.Sprintf("Commands above that have run: %d. To continue, run the same command again.", d.done)
}

// plan is a prepared deployment.
type plan struct {
	summary []string   // sentences
	steps   [][]string // commands
	after   string     // printed after the last step
	exists  bool       // the deployment exists already, and may have an ORGA_AUTH
	file    settingsFile
}

// missing is a prerequisite that is not met, and how to meet it.
type missing struct{ what, get string }

func (m missing) Error() string { return m.what + "\n    " + strings.ReplaceAll(m.get, "\n", "\n    ") }

func (d *deploy) to(ctx context.Context, platform string) error {
	platforms := map[string]func(context.Context) (plan, error){"aws": d.aws, "gcp": d.gcp, "netlify": d.netlify, "cloudflare": d.cloudflare}
	prepare, ok := platforms[platform]
	if !ok {
		return errors.New("usage: deploy [--dry-run] [--yes] aws|gcp|netlify|cloudflare")
	}
	// Otherwise these faults would show up only after the deployment.
	if err := errors.Join(d.checkNames(), d.checkValues()); err != nil {
		return fmt.Errorf("%w\n\nNothing was changed", err)
	}
	p, err := prepare(ctx)
	if err == nil && !p.exists {
		if err = d.chooseAuth(ctx); err == nil && d.chosen {
			p, err = prepare(ctx)
		}
	}
	if err != nil && !d.dry {
		return err
	}
	for _, s := range p.summary {
		fmt.Fprintln(d.out, s)
	}
	if p.file.name != "" {
		fmt.Fprintf(d.out, "\nSettings, passed in the file %s:\n%s\n", p.file.name, p.file.shown())
	}
	if d.dry {
		if err != nil {
			fmt.Fprintf(d.out, "\nBefore you deploy:\n%v\n", err)
		}
		fmt.Fprintln(d.out, "\nCommands:")
		for _, step := range p.steps {
			fmt.Fprintln(d.out, "+ "+shell(step))
		}
		return nil
	}
	if !d.yes {
		answer, err := d.ask(ctx, "\nDeploy? [y/N] ")
		if err != nil {
			return err
		}
		if !strings.HasPrefix(strings.ToLower(answer), "y") {
			return errDeclined
		}
	}
	remove, err := p.file.write(d.root)
	if err != nil {
		return err
	}
	defer remove()
	for _, step := range p.steps {
		fmt.Fprintln(d.out, "+ "+shell(step))
		cmd := exec.CommandContext(ctx, step[0], step[1:]...)
		cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = d.root, d.withNodeOptions(), d.in, d.out, os.Stderr
		cmd.Cancel = func() error {
			if errors.Is(context.Cause(ctx), errInterrupted) {
				return nil // the terminal sends Ctrl-C to the command as well
			}
			return cmd.Process.Signal(os.Interrupt)
		}
		cmd.WaitDelay = 10 * time.Second
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s %s: %w", step[0], step[1], err)
		}
		d.done++
	}
	fmt.Fprintln(d.out, "\n"+p.after)
	return nil
}

// ask prints a question and reads a line. It reads no further, because the rest of the input is for the commands.
// No line is an error: a job that nobody can answer must not pass as one that was stopped on purpose.
func (d *deploy) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(d.out, question)
	answer := make(chan string, 1)
	go func() {
		var line []byte
		for b := make([]byte, 1); ; {
			n, err := d.in.Read(b)
			line = append(line, b[:n]...)
			if err != nil && len(line) == 0 {
				close(answer)
				return
			}
			if err != nil || n > 0 && b[0] == '\n' {
				answer <- strings.TrimSpace(string(line))
				return
			}
		}
	}()
	select {
	case line, ok := <-answer:
		if !ok {
			return "", missing{"\nThere is no answer on standard input. Nothing was changed.", "make deploy-… YES=1 ORGA_AUTH=…    deploys without asking, as in CI"}
		}
		return line, nil
	case <-ctx.Done():
		return "", errDeclined
	}
}

// value returns the value of an environment variable, or def if it is unset or empty.
func (d *deploy) value(name, def string) string { return cmp.Or(d.env[name], def) }

// environ returns the environment as NAME=value.
func (d *deploy) environ() (list []string) {
	for name, value := range d.env {
		list = append(list, name+"="+value)
	}
	return list
}

// query runs a read-only command, and returns its standard output. The error is what the command printed.
func (d *deploy) query(ctx context.Context, args ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = d.root, d.environ()
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		if text := strings.TrimSpace(color.ReplaceAllString(string(failed.Stderr), "")); text != "" {
			err = errors.New(text)
		}
	}
	return strings.TrimSpace(string(out)), err
}

var color = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// cli is a platform's command-line tool.
type cli struct {
	absent *regexp.Regexp // what it prints when it is asked for something that does not exist
	login  string         // the command that logs in
}

// find runs a read-only command about something that may not exist. If the command fails for another reason, find returns
// that as an error and assumes that the thing exists: a deployment that is taken for the first one would open a function,
// and ask who may mint.
func (d *deploy) find(ctx context.Context, tool cli, what string, args ...string) (output string, exists bool, err error) {
	output, err = d.query(ctx, args...)
	switch {
	case err == nil:
		return output, true, nil
	case tool.absent.MatchString(err.Error()):
		return "", false, nil
	}
	return "", true, tool.failed("It is unknown whether "+what+" exists", err)
}

// decode decodes the JSON that a command printed. The error does not repeat it, because it may contain secrets.
func (c cli) decode(output string, to any) error {
	if err := json.Unmarshal([]byte(output), to); err != nil {
		return c.failed("The tool's output is not the expected JSON", err)
	}
	return nil
}

// failed returns the error of a command with what it printed and how to log in.
func (c cli) failed(what string, err error) error {
	return missing{what + ":\n" + err.Error(), c.login + "\nOr get the permission that the error names. Then run the same command again."}
}

// checkInstalled returns an error for each tool that is not installed. It takes install instructions by tool.
func checkInstalled(tools map[string]string) error {
	var faults []error
	for name, get := range tools {
		if _, err := exec.LookPath(name); err != nil {
			faults = append(faults, missing{name + " is not installed.", get})
		}
	}
	return errors.Join(faults...)
}

// tags describes the build tags, or warns that OTEL_* variables are not deployed because the build ignores them.
func (d *deploy) tags() string {
	if tags := d.env["TAGS"]; tags != "" {
		return "The build uses TAGS=" + tags + ", which the commands take from the environment."
	}
	for name := range d.env {
		if strings.HasPrefix(name, "OTEL_EXPORTER_OTLP_") {
			return "OTEL_* variables are set but not deployed, because this build ignores them. Add TAGS=otel to build with OpenTelemetry (docs/operate.md)."
		}
	}
	return ""
}

// compact removes empty sentences.
func compact(sentences ...string) []string {
	return slices.DeleteFunc(sentences, func(s string) bool { return s == "" })
}
