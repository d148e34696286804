package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// told are the commands of one tool that we tell people to run, in README, docs and Makefile, or run for
// them: what the deploy tool prints for a platform with these variables. Each is there once.
func (s *site) told(ctx context.Context, start, platform string, variables ...string) ([]string, error) {
	pages, err := filepath.Glob(filepath.Join(s.source, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, name := range append(pages, filepath.Join(s.source, "README.md"), filepath.Join(s.source, "Makefile")) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		lines = append(lines, commands(string(text), start)...)
	}
	dry, err := s.run(ctx, filepath.Join(s.source, "tools"), variables, "go", "run", "./deploy", "--dry-run", platform)
	if err != nil {
		return nil, err
	}
	printed := commands(dry, start)
	if len(printed) == 0 {
		return nil, fmt.Errorf("make deploy-%s DRY_RUN=1 prints no command that starts with %s", platform, start)
	}
	lines = append(lines, printed...)
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// commands are the commands in a text that begin with start: in lines that are indented, fenced or
// printed after a plus, continuations joined, from where the shell begins them to where it takes over.
func commands(text, start string) []string {
	var found []string
	fenced := false
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		all, printed := strings.CutPrefix(line, "+ ")
		if indented := strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t"); !indented && !fenced && !printed {
			continue
		}
		for command := range strings.SplitSeq(all, " && ") {
			command = strings.TrimSpace(command)
			if !strings.HasPrefix(command, start) {
				continue
			}
			for _, end := range []string{" | ", "; ", " > ", " < ", " # "} {
				command, _, _ = strings.Cut(command, end)
			}
			found = append(found, strings.Join(strings.Fields(command), " "))
		}
	}
	return found
}
