// Package docs tests that the pages, the template, the OpenAPI document and the code use the same names.
//
// Code blocks are also tested elsewhere: policy.md's in core/auth, use.md's in tools/examples, openapi.yaml in
// tools/openapi, and the commands of the platforms' tools in make verify.
package docs

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/tools/remedy"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinks(t *testing.T) {
	files := tree(t)
	headings := make(map[string][]string)
	for _, p := range pages(files) {
		headings[p.name] = p.headings
	}
	linked := make(map[string]bool)
	for _, p := range pages(files) {
		for _, m := range link.FindAllStringSubmatch(p.prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := path.Join(path.Dir(p.name), file)
			if file == "" {
				to = p.name
			}
			linked[to] = true
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s, which is not there", p.name, m[1])
			} else if anchor != "" && !slices.Contains(headings[to], anchor) {
				t.Errorf("%s links to %s, but there is no such heading", p.name, m[1])
			}
		}
	}
	for _, p := range pages(files) {
		if strings.HasPrefix(p.name, "docs/") && !linked[p.name] {
			t.Errorf("no page links to %s", p.name)
		}
	}
}

func TestFileNames(t *testing.T) {
	files := tree(t)
	bases, folders, tops := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for name := range files {
		bases[path.Base(name)] = true
		top, _, below := strings.Cut(name, "/")
		tops[top] = below
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	file := regexp.MustCompile(`^[\w-]*\.(go|mod|sum|json|md|toml|yaml|yml)$`)
	for _, p := range pages(files) {
		for _, s := range p.spans {
			top, _, below := strings.Cut(s, "/")
			clean := strings.TrimSuffix(s, "/")
			_, there := files[clean]
			switch {
			case strings.ContainsAny(s, " …*<"):
			case below && tops[top] && !there && !folders[clean]:
				t.Errorf("%s names %s, which is not there", p.name, s)
			case !below && file.MatchString(s) && !bases[s]:
				t.Errorf("%s names %s, but there is no such file", p.name, s)
			}
		}
	}
}

// make verify lets the platforms' own tools parse their commands; core/auth runs those for the shell, curl and Python.
func TestCommands(t *testing.T) {
	files := tree(t)
	targets := regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(files["Makefile"], -1)
	isTarget := func(word string) bool {
		return slices.ContainsFunc(targets, func(m []string) bool { return m[1] == word })
	}
	template := parameters(files)
	named := regexp.MustCompile("^make ([a-z-]+)")
	for _, p := range pages(files) {
		for _, s := range p.spans {
			if m := named.FindStringSubmatch(s); m != nil && !isTarget(m[1]) {
				t.Errorf("%s: %s: make has no such target", p.name, s)
			}
		}
	}
	for _, p := range append(pages(files), workflows(files)...) {
		for _, command := range p.commands("make") {
			for _, word := range command[1:] {
				name, _, sets := strings.Cut(word, "=")
				switch {
				case !sets && !isTarget(word):
					t.Errorf("%s: %s: make has no target %s", p.name, strings.Join(command, " "), word)
				case sets && !strings.HasPrefix(name, "ORGA_") && !strings.HasPrefix(name, "OTEL_") && !slices.Contains(template, name) &&
					!strings.Contains(files["Makefile"], "$("+name+")") && !strings.Contains(files["tools/deploy/main.go"]+files["tools/deploy/aws.go"]+files["tools/deploy/gcp.go"], strconv.Quote(name)):
					t.Errorf("%s: %s: nothing reads %s", p.name, strings.Join(command, " "), name)
				}
			}
		}
		folder := root
		for _, command := range p.commands("cd", "go") {
			if command[0] == "cd" {
				folder = filepath.Join(root, command[1])
				continue
			}
			if i := slices.IndexFunc(command, func(s string) bool { return strings.HasPrefix(s, "./") }); i >= 0 {
				if found, _ := filepath.Glob(filepath.Join(folder, command[i], "*.go")); len(found) == 0 {
					t.Errorf("%s: %s: there is no package", p.name, strings.Join(command, " "))
				}
			}
			folder = root
		}
	}
	for _, flag := range regexp.MustCompile("`--([a-z]+)`").FindAllStringSubmatch(files["docs/probe.md"], -1) {
		if !strings.Contains(files["tools/probe/main.go"], strconv.Quote(flag[1])) {
			t.Errorf("docs/probe.md: the probe has no flag %s", flag[0])
		}
	}
}

// Commands must be readable without horizontal scrolling.
func TestCommandsFitTheScreen(t *testing.T) {
	command := regexp.MustCompile(`^\s*(make|sam|aws|gcloud|netlify|wrangler|vercel|docker|kubectl|gh|sed|for) `)
	for _, p := range pages(tree(t)) {
		continued := false
		for line := range strings.SplitSeq(p.code, "\n") {
			if (continued || command.MatchString(line)) && utf8.RuneCountInString(line) > 100 {
				t.Errorf("%s: more than 100 characters: %s", p.name, line)
			}
			continued = strings.HasSuffix(line, "\\")
		}
	}
}

// theirs are variables of other programs, in the examples.
var theirs = []string{"ORGA_SESSION_URL", "ORGA_SESSION_HMAC_KEY"}

func settings() []string {
	var list []string
	for _, s := range core.Settings() {
		if s.Variable != "" {
			list = append(list, s.Variable)
		}
	}
	return list
}

// core/settings_test.go compares docs/settings.md with the code.
func TestSettings(t *testing.T) {
	files := tree(t)
	known := settings()
	for name, text := range files {
		if !slices.Contains([]string{".md", ".yaml", ".yml", ".toml", ".json"}, path.Ext(name)) {
			continue
		}
		for _, found := range regexp.MustCompile(`\bORGA_[A-Z_]*`).FindAllString(text, -1) {
			family := strings.HasSuffix(found, "_") && slices.ContainsFunc(known, func(s string) bool { return strings.HasPrefix(s, found) })
			if !family && !slices.Contains(known, found) && !slices.Contains(theirs, found) && !strings.HasPrefix(found, "ORGA_API_KEY_") {
				t.Errorf("%s names %s, which is not a setting", name, found)
			}
		}
	}
}

func parameters(files map[string]string) []string {
	_, rest, _ := strings.Cut(files["template.yaml"], "\nParameters:\n")
	section, _, _ := strings.Cut(rest, "\nConditions:\n")
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^  ([A-Za-z]+):$`).FindAllStringSubmatch(section, -1) {
		list = append(list, m[1])
	}
	return list
}

// Each parameter is named after its setting, or listed in docs/deploy-aws.md.
func TestTemplateParameters(t *testing.T) {
	files := tree(t)
	known := parameters(files)
	if len(known) < 20 {
		t.Fatalf("only %d parameters found", len(known))
	}
	_, rest, _ := strings.Cut(files["docs/deploy-aws.md"], "## Options\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	var documented []string
	for row := range strings.SplitSeq(section, "\n| ") {
		first, _, _ := strings.Cut(row, " |")
		for _, m := range span.FindAllStringSubmatch(first, -1) {
			if regexp.MustCompile(`^[A-Z][a-z]`).MatchString(m[1]) {
				documented = append(documented, m[1])
			}
		}
	}
	for _, name := range documented {
		if !slices.Contains(known, name) {
			t.Errorf("docs/deploy-aws.md has %s, which is not a parameter of template.yaml", name)
		}
	}
	var named []string
	for _, s := range settings() {
		var parameter string
		for word := range strings.SplitSeq(strings.TrimPrefix(s, "ORGA_"), "_") {
			parameter += word[:1] + strings.ToLower(word[1:])
		}
		named = append(named, parameter)
	}
	for _, name := range known {
		if name != "ApiKeySecretArn" && !slices.Contains(named, name) && !slices.Contains(documented, name) { // SECRET replaces it
			t.Errorf("template.yaml has %s, which docs/deploy-aws.md does not explain", name)
		}
	}
}

// codes returns the code's error codes with their statuses in docs/contract.md; the test of core/internal/problem compares
// the two.
func codes(t *testing.T, files map[string]string) map[string]string {
	list := map[string]string{"client_gone": "499"} // only in the log; the contract lists only codes that are sent
	for _, m := range regexp.MustCompile("(?m)^\\|.*\\| ([45]\\d\\d) \\| `([a-z_]+)` \\|$").FindAllStringSubmatch(files["docs/contract.md"], -1) {
		list[m[2]] = m[1]
	}
	for _, m := range regexp.MustCompile(`(?m)\bCode += "([a-z_]+)"`).FindAllStringSubmatch(files["core/internal/problem/problem.go"], -1) {
		if list[m[1]] == "" {
			t.Errorf("docs/contract.md does not have %s", m[1])
		}
	}
	if len(list) < 15 {
		t.Fatalf("only %d codes found", len(list))
	}
	return list
}

// Each code that is sent has a remedy, and docs/use.md lists all of them.
func TestRemedies(t *testing.T) {
	files := tree(t)
	remedies := remedy.ByCode()
	for code := range codes(t, files) {
		if code != "client_gone" && remedies[code] == "" {
			t.Errorf("tools/remedy has nothing for %s", code)
		}
	}
	for code, text := range remedies {
		if !strings.Contains(files["docs/use.md"], "| `"+code+"` | "+text+" |\n") {
			t.Errorf("docs/use.md does not have %s: %s", code, text)
		}
	}
}

func TestCodes(t *testing.T) {
	files := tree(t)
	known := codes(t, files)
	said := regexp.MustCompile("(?:([45]\\d\\d),? |[Cc]ode:? )`([a-z_]+)`|`code: ([a-z_]+)`|\\(([45]\\d\\d)\\)[^`]{0,20}`([a-z_]+)`")
	for _, p := range pages(files) {
		for _, m := range said.FindAllStringSubmatch(p.prose, -1) {
			code, status := m[2]+m[3], m[1]
			if is, ok := known[code]; code != "" && (!ok || status != "" && status != is) {
				t.Errorf("%s: %q: there is no such code, or it has another status", p.name, m[0])
			}
		}
		if p.name != "docs/operate.md" {
			continue
		}
		for _, code := range slices.Sorted(maps.Keys(known)) {
			if !slices.Contains(p.spans, code) {
				t.Errorf("docs/operate.md does not say what to do about %s", code)
			}
		}
	}
}

// idps are external names: claims of identity providers, flags of platforms.
var idps = []string{"nodejs_compat", "org_id", "org_name", "org_slug", "user_metadata", "app_metadata", "unsafe_metadata", "preferred_username"}

// Names in snake case (log fields, metrics, codes) are the same in the pages and in the code.
func TestNames(t *testing.T) {
	files := tree(t)
	texts := literals(files)
	for _, p := range pages(files) {
		for _, s := range p.spans {
			if regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)+$`).MatchString(s) && !slices.Contains(texts, s) && !slices.Contains(idps, s) {
				t.Errorf("%s names %s, which is not in the code", p.name, s)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	files := tree(t)
	if m := regexp.MustCompile(`(?m)^  version: '?([^'\n]+)'?$`).FindStringSubmatch(files["docs/openapi.yaml"]); m == nil || m[1] != core.Version {
		t.Errorf("docs/openapi.yaml is of version %v, the code of %s", m, core.Version)
	}
	if m := regexp.MustCompile(`(?m)^## (\d\S*)`).FindStringSubmatch(files["CHANGELOG.md"]); m == nil || m[1] != core.Version {
		t.Errorf("CHANGELOG.md is of version %v, the code of %s", m, core.Version)
	}
}

// The version is the same in the code, the changelog and the OpenAPI document, and the release workflow reads it from there.
func TestReleaseLooksAtTheVersion(t *testing.T) {
	files := tree(t)
	m := regexp.MustCompile(`grep -q "\^const Version = .*" (\S+)`).FindStringSubmatch(files[".github/workflows/release.yml"])
	if m == nil || !strings.Contains(files[m[1]], "\nconst Version = "+strconv.Quote(core.Version)+"\n") {
		t.Errorf("release.yml looks for the version in %v, and it is not there", m)
	}
}

func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(tree(t)["README.md"], "\n"); n > 110 {
		t.Errorf("README.md has %d lines; it is the first page, not the only one", n)
	}
}

// No file names the machine on which it was created, or a package registry's address.
func TestNobodysMachine(t *testing.T) {
	machine := regexp.MustCompile(`/(work|root|home|Users)` + `/\w`)
	registry := regexp.MustCompile(`registry\.` + `npmjs|pypi\.` + `org|python` + `hosted|(proxy|sum)\.` + `golang|index` + `-url|"resolved` + `":`)
	for name, text := range tree(t) {
		if name == ".git" { // written by git itself in a linked worktree
			continue
		}
		for _, found := range append(machine.FindAllString(text, -1), registry.FindAllString(text, -1)...) {
			t.Errorf("%s names %s", name, found)
		}
	}
}
