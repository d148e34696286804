package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// told returns the commands of one tool that appear in README, docs and Makefile, or that the deploy tool prints for a
// platform with these variables. Each appears once.
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

// commands returns the commands in a text that begin with start: in indented or fenced lines, or printed after a plus. It
// joins continuation lines, and drops what precedes or follows the command in a shell line.
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
