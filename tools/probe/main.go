// Command probe asks a session endpoint, deployed or local, as a browser would, uses the token and the
// ICE servers that it gets, and says what is wrong and what to do about it. docs/probe.md has examples.
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

Asks the session endpoint at URL as a browser would, and uses what it answers.
Without a path, URL means ` + probe.DefaultPath + `.

A run mints two tokens, to see that they differ, and a third only from an
endpoint that mints for an origin nobody listed. Orga bills what is minted.

Exit code: 0 works, 1 broken, 2 could not run (usage, no network, no such name).

--version alone prints the version. Flags:
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

// run is the command without the process around it; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, colour bool) int {
	o := probe.Options{Header: http.Header{}}
	flags := flag.NewFlagSet("probe", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	help := func(w io.Writer) {
		_, _ = io.WriteString(w, usage)
		flags.SetOutput(w)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.Origin, "origin", "", "the page's `origin`, as https://app.example; without it, the endpoint's own")
	var headers []string // checked later: flag would print a value that it may not keep
	flags.Func("header", "a `header` to send, as 'Authorization: Bearer …'; repeatable, never printed", func(s string) error {
		headers = append(headers, s)
		return nil
	})
	flags.DurationVar(&o.Timeout, "timeout", probe.DefaultTimeout, "for the whole run")
	asJSON := flags.Bool("json", false, "print JSON instead of a checklist")

	var urls []string
	for len(args) > 0 { // flags may stand on both sides of URL
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

// addHeader adds "Name: value" to h. Its errors do not repeat it: it may hold a credential.
func addHeader(h http.Header, s string) error {
	name, value, ok := strings.Cut(s, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n"):
		return errors.New("--header takes 'Name: value'")
	case strings.EqualFold(name, "Origin"):
		return errors.New("the origin is given with --origin")
	}
	h.Add(name, value)
	return nil
}

// colours says whether a person looks at f.
func colours(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
