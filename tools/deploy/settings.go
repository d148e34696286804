package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/orga-session/orga-session/core"
)

// setting is one ORGA_* or OTEL_* variable of the environment, or a parameter of the template.
type setting struct {
	name, value string
	secret      bool // never printed, nor an argument of a command
}

// settings returns the variables of the environment to deploy, sorted by name, and an error for each refused
// one (by name, with the reason). OTEL_* variables may be meant for other programs, so they are included only
// if the build reads them.
func (d *deploy) settings(refused map[string]string) ([]setting, error) {
	var list []setting
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(d.env)) {
		why, no := refused[name]
		switch {
		case no:
			faults = append(faults, fmt.Errorf("%s is not deployed: %s", name, why))
		case !strings.HasPrefix(name, "ORGA_") && !(strings.HasPrefix(name, "OTEL_") && d.hasTag("otel")):
		case strings.ContainsFunc(d.env[name], isControl): // gcloud replaces or refuses them
			faults = append(faults, fmt.Errorf("%s: remove the control characters", name))
		case strings.Contains(d.env[name], "$ORGA_"):
			faults = append(faults, fmt.Errorf("%s: want a value, not the name of another variable ($ORGA_…)", name))
		case userinfo.MatchString(d.env[name]) && !slices.Contains(secretSettings, name):
			faults = append(faults, fmt.Errorf("%s: remove the user name and password from the URL, which is not kept secret", name))
		default:
			list = append(list, setting{name, d.env[name], slices.Contains(secretSettings, name)})
		}
	}
	return list, errors.Join(faults...)
}

var userinfo = regexp.MustCompile(`//[^/?#\s]*@`) // of a URL

// isControl reports whether a character is a control character other than a tab or a line end.
func isControl(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) }

func (d *deploy) hasTag(tag string) bool {
	return slices.Contains(strings.Split(d.env["TAGS"], ","), tag)
}

// secretSettings lists the settings that may hold a credential. Sources are
// included because a key may have been pasted there by mistake.
var secretSettings = func() []string {
	names := []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"}
	for _, s := range core.Settings() {
		if s.Secret || strings.HasSuffix(s.Variable, "_SOURCE") {
			names = append(names, s.Variable)
		}
	}
	return names
}()

// jsonText returns strings, or maps of them, as JSON for people and tools to read.
func jsonText(v any) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // strings always encode
	return strings.TrimSpace(text.String())
}

// argument returns how a setting's value is written as an argument of a command that is a Node.js program. For a
// secret it is a reference, which withNodeOptions resolves inside the program: these commands take values as
// arguments only, and those are visible to every user of the machine.
func argument(s setting) string {
	if s.secret && s.value != "" {
		return "$" + s.name
	}
	return s.value
}

// withNodeOptions returns the environment of the commands.
func (d *deploy) withNodeOptions() []string {
	const resolve = `--import=data:text/javascript,process.argv=process.argv.map(a=>a.replace(/\$(ORGA_\w+)/g,(all,name)=>process.env[name]||all))`
	return append(d.environ(), "NODE_OPTIONS="+strings.TrimSpace(d.env["NODE_OPTIONS"]+" "+resolve))
}

var reference = regexp.MustCompile(`^[\w:]*\$ORGA_\w+$`)

// shell formats a command for a POSIX shell.
func shell(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		switch {
		case reference.MatchString(arg):
			arg = `"` + arg + `"`
		case strings.ContainsFunc(arg, func(r rune) bool { return !strings.ContainsRune(plainInShell, r) }):
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		quoted[i] = arg
	}
	return strings.Join(quoted, " ")
}

const plainInShell = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+/.,:@^%"

// settingsFile has the settings for one of the commands. Arguments would show secrets to every user of the machine.
type settingsFile struct {
	name     string // relative to the repository's root
	settings []setting
	format   func([]setting) string
}

// shown returns the text of the file without secrets.
func (f settingsFile) shown() string {
	list := slices.Clone(f.settings)
	for i, s := range list {
		if s.secret && s.value != "" {
			list[i].value = "…"
		}
	}
	return strings.TrimSpace(f.format(list))
}

// write creates the file, for its owner only, and returns a function that removes it.
func (f settingsFile) write(root string) (remove func(), err error) {
	if f.name == "" {
		return func() {}, nil
	}
	path := filepath.Join(root, f.name)
	remove = func() { _ = os.Remove(path) } // nothing there is fine, and the next deployment tries again
	remove()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return remove, os.WriteFile(path, []byte(f.format(f.settings)), 0o600)
}
