package core_test

import (
	"log/slog"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
)

// The README's table and the code know the same settings, with the same defaults.
func TestReadmeSettings(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(env)
	for _, row := range regexp.MustCompile("(?m)^\\| `(ORGA_[A-Z_]+)` \\| (?:`([^`]*)`)? ?\\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[2]
	}

	var read []string
	record := func(name string) (string, bool) {
		if regexp.MustCompile("^ORGA_").MatchString(name) && !slices.Contains(read, name) {
			read = append(read, name)
		}
		return "", false
	}
	unset := core.ConfigFromEnv(record)
	_, _ = core.New(t.Context(), unset, core.Drivers{Log: slog.New(slog.DiscardHandler)})
	_, _ = awssm.Open(record, true)(secret.Ref{Scheme: "awssm", Name: "name"})
	_, _ = gcpsm.Open(record)(secret.Ref{Scheme: "gcpsm", Name: "projects/p/secrets/s"})

	for _, name := range read {
		if _, ok := documented[name]; !ok {
			t.Errorf("%s is read, but not in the README", name)
		}
	}
	for name, value := range documented {
		if !slices.Contains(read, name) {
			t.Errorf("%s is in the README, but nothing reads it", name)
		}
		set := core.ConfigFromEnv(env{name: value}.lookup)
		if a, b := describe(set), describe(unset); a != b {
			t.Errorf("%s has another default than %q:\n%s\n%s", name, value, a, b)
		}
	}
}
