package docs

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const root = "../.."

// notOurs are folders written by tools; they are not in the repository.
var notOurs = []string{".git", ".cache", ".aws-sam", ".netlify", ".vercel", "dist", "node_modules"}

// tree returns the text of every file of the repository by path.
func tree(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(notOurs, d.Name()):
			return filepath.SkipDir
		case !d.Type().IsRegular(), d.Name() == ".git": // .git is a file in a worktree
			return nil
		}
		data, err := os.ReadFile(path)
		if utf8.Valid(data) {
			name, _ := filepath.Rel(root, path)
			files[filepath.ToSlash(name)] = string(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// page is a Markdown page: prose, and code blocks, fenced or indented by four.
type page struct {
	name     string
	prose    string
	code     string
	spans    []string // text in code font in the prose
	headings []string // as GitHub's anchors
}

var (
	span    = regexp.MustCompile("`([^`]+)`")
	heading = regexp.MustCompile(`^#+ (.*)`)
	noLink  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// pages returns all pages of the repository.
func pages(files map[string]string) []page {
	var list []page
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Ext(name) != ".md" {
			continue
		}
		p := page{name: name}
		var fenced, indented bool
		blank := true
		for line := range strings.SplitSeq(files[name], "\n") {
			fence := strings.HasPrefix(line, "```")
			// An indented code block starts after an empty line; otherwise the line continues a paragraph.
			indented = strings.HasPrefix(line, "    ") && (blank || indented) || line == "" && indented
			switch {
			case fence:
				fenced = !fenced
			case fenced, indented:
				p.code += line + "\n"
			default:
				p.prose += line + "\n"
				if m := heading.FindStringSubmatch(line); m != nil {
					anchor := noLink.ReplaceAllString(strings.ToLower(m[1]), "")
					p.headings = append(p.headings, strings.ReplaceAll(anchor, " ", "-"))
				}
			}
			blank = line == ""
		}
		for _, m := range span.FindAllStringSubmatch(p.prose, -1) {
			p.spans = append(p.spans, m[1])
		}
		list = append(list, p)
	}
	return list
}

// workflows returns the commands of the workflows in docs/ci, which users copy; actionlint checks the rest.
func workflows(files map[string]string) []page {
	var list []page
	run := regexp.MustCompile(`(?m)^\s*(?:- )?run: `)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(name, "docs/ci/") && filepath.Ext(name) == ".yml" {
			list = append(list, page{name: name, code: run.ReplaceAllString(files[name], "")})
		}
	}
	return list
}

// commands returns the shell commands in the page's code that start with one of the words.
func (p page) commands(words ...string) [][]string {
	var list [][]string
	code := strings.ReplaceAll(p.code, "\\\n", " ")
	for line := range strings.SplitSeq(code, "\n") {
		line, _, _ = strings.Cut(line, " #")
		for command := range strings.SplitSeq(line, "&&") {
			fields := strings.Fields(strings.TrimPrefix(command, "RUN ")) // of a Dockerfile
			for len(fields) > 0 && strings.Contains(fields[0], "=") {
				fields = fields[1:] // a variable set for this command
			}
			if len(fields) > 0 && slices.Contains(words, fields[0]) {
				list = append(list, fields)
			}
		}
	}
	return list
}

var literal = regexp.MustCompile("\"(?:[^\"\\\\\n]|\\\\.)*\"")

// literals returns the strings in the deployed module's Go code, except in tests.
func literals(files map[string]string) []string {
	var list []string
	for name, text := range files {
		// Also search the Worker's JavaScript and configuration.
		if !slices.Contains([]string{".go", ".mjs", ".jsonc"}, filepath.Ext(name)) || strings.HasPrefix(name, "tools/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, quoted := range literal.FindAllString(text, -1) {
			if s, err := strconv.Unquote(quoted); err == nil {
				list = append(list, s)
			}
		}
	}
	return list
}
