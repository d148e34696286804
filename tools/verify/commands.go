package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checkCommands checks every documented command of a program against the program's own help: the command, of up to
// depth words, and its flags exist. Most commands would need an account to run.
func (s *suite) checkCommands(ctx context.Context, program string, depth int, platform string, variables ...string) error {
	name := filepath.Base(program)
	lines, err := s.documentedCommands(ctx, name+" ", platform, variables...)
	if err != nil {
		return err
	}
	var faults []error
	for _, line := range lines {
		words := strings.Fields(line)[1:]
		n := 1
		for n < min(depth, len(words)) && strings.Trim(words[n], "abcdefghijklmnopqrstuvwxyz") == "" {
			n++
		}
		command, arguments := words[:n:n], words[n:]
		help, err := s.run(ctx, s.scratch, nil, program, append(command, "--help")...)
		if general := strings.Contains(help, name+" [COMMAND]"); err != nil || general || !strings.Contains(help, name+" "+strings.Join(command, " ")) {
			faults = append(faults, fmt.Errorf("%s: there is no such command", line))
			continue
		}
		for _, argument := range arguments {
			if flag, _, _ := strings.Cut(argument, "="); strings.HasPrefix(flag, "--") && !strings.Contains(help, flag) {
				faults = append(faults, fmt.Errorf("%s: there is no flag %s", line, flag))
			}
		}
	}
	fmt.Fprintf(os.Stderr, "       %s knows %d commands\n", name, len(lines))
	return errors.Join(faults...)
}

// documentedCommands returns the commands in README, docs and Makefile that begin with start, and those that the deploy
// tool prints for a platform with these variables. Each appears once.
func (s *suite) documentedCommands(ctx context.Context, start, platform string, variables ...string) ([]string, error) {
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

// commands returns the commands in a text that begin with start: in indented or fenced lines, or printed after a plus.
// It joins continuation lines, and drops what precedes or follows the command in a shell line.
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
