// Command probe calls a session endpoint as a browser would, uses the token and the ICE servers that it gets, and
// reports what is wrong and what to do about it. docs/probe.md has examples.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/tools/probe/probe"
)

const usage = `Usage: probe [flags] URL

Calls the session endpoint at URL as a browser would, and tests the token and the
ICE servers that it returns. The default path is ` + probe.DefaultPath + `.

A run mints two tokens, to check that they differ, and a third only if the endpoint
mints for an unlisted origin. Orga bills each mint.

Exit code: 0 works, 1 broken, 2 could not run (usage, no network, no such name).

probe --version prints the version. Flags:
`

func main() {
	if core.PrintVersion(os.Stdout, os.Args) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, colours(os.Stdout))
	stop()
	os.Exit(code)
}

// run runs the command and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, colour bool) int {
	o := probe.Options{Header: http.Header{}}
	flags := flag.NewFlagSet("probe", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	help := func(w io.Writer) {
		_, _ = io.WriteString(w, usage)
		flags.SetOutput(w)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.Origin, "origin", "", "the page's `origin`, such as https://app.example (default the endpoint's own)")
	var headers []string // validated later: flag would print an invalid value, which may be a credential
	flags.Func("header", "a `header` to send, such as 'Authorization: Bearer …'; repeatable, never printed", func(s string) error {
		headers = append(headers, s)
		return nil
	})
	flags.DurationVar(&o.Timeout, "timeout", probe.DefaultTimeout, "limit for the whole run")
	asJSON := flags.Bool("json", false, "print JSON instead of a checklist")

	var urls []string
	for len(args) > 0 { // flags may follow URL
		switch err := flags.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			help(stdout)
			return 0
		case err != nil:
			_, _ = fmt.Fprintln(stderr, err)
			return 2
		}
		if args = flags.Args(); len(args) > 0 {
			urls, args = append(urls, args[0]), args[1:]
		}
	}
	if len(urls) != 1 || o.Timeout <= 0 {
		help(stderr)
		return 2
	}
	o.URL = urls[0]
	for _, h := range headers {
		if err := addHeader(o.Header, h); err != nil {
			_, _ = fmt.Fprintln(stderr, err)
			return 2
		}
	}

	report := probe.Run(ctx, o)
	var err error
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err = enc.Encode(report)
	} else {
		err = report.Print(stdout, colour)
	}
	if err != nil {
		return 2
	}
	return map[probe.Outcome]int{probe.Works: 0, probe.Broken: 1, probe.NotRun: 2}[report.Outcome]
}

// addHeader adds "Name: value" to h. Its errors do not repeat the value, which may be a credential.
func addHeader(h http.Header, s string) error {
	name, value, ok := strings.Cut(s, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n"):
		return errors.New("--header: want 'Name: value'")
	case strings.EqualFold(name, "Origin"):
		return errors.New("set the origin with --origin")
	}
	h.Add(name, value)
	return nil
}

// colours reports whether to use colors on f: it is a terminal.
func colours(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
