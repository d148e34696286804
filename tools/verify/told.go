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

// lintNetlify holds every netlify command that we tell people to run to the CLI's own help: there is
// such a command, and it has these flags. Most of them would ask for an account.
func (s *site) lintNetlify(ctx context.Context) error {
	lines, err := s.told(ctx, "netlify ", "netlify", "ORGA_AUTH=oidc", "ORGA_DEBUG=", "ORGA_RATE_LIMIT_STORE=rediss://r.example")
	if err != nil {
		return err
	}
	var faults []error
	for _, line := range lines {
		words := strings.Fields(line)
		help, err := s.run(ctx, s.scratch, nil, s.netlifyCLI, words[1], "--help")
		if err != nil {
			return err
		}
		if !strings.Contains(help, "$ netlify "+words[1]) || strings.Contains(help, "$ netlify [COMMAND]") {
			faults = append(faults, fmt.Errorf("%s: there is no such command", line))
			continue
		}
		for _, word := range words[2:] {
			flag, _, _ := strings.Cut(word, "=")
			if strings.HasPrefix(flag, "-") && !strings.Contains(help, flag) {
				faults = append(faults, fmt.Errorf("%s: %s has no flag %s", line, words[1], flag))
			}
		}
	}
	fmt.Fprintf(os.Stderr, "       netlify knows %d commands\n", len(lines))
	return errors.Join(faults...)
}

// managed is the stack that SAM makes itself at an account's first deploy, to upload into. It does so by
// a change set, whose tags and outputs moto loses.
const managed = `{"Resources":{"SamCliSourceBucket":{"Type":"AWS::S3::Bucket"}},"Outputs":{"SourceBucket":{"Value":{"Ref":"SamCliSourceBucket"}}}}`

// followAWS does what docs/deploy-aws.md says, line by line, from the key's secret to the end of it all,
// with AWS's own tools, and moto in place of AWS; the rotation of docs/secrets.md comes in between. What
// would ask the endpoint is left out: moto runs no function.
func (s *site) followAWS(ctx context.Context) error {
	at := strings.Replace(s.back.moto.URL, "127.0.0.1", "localhost", 1) // where SAM uploads a template, moto finds it by this name alone
	env := []string{
		"PATH=" + filepath.Dir(s.sam) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"AWS_ENDPOINT_URL=" + at, "AWS_ACCESS_KEY_ID=verify", "AWS_SECRET_ACCESS_KEY=none",
	}
	aws := filepath.Join(filepath.Dir(s.sam), "aws")
	if _, err := s.run(ctx, s.source, env, aws, "cloudformation", "create-stack", "--stack-name", "aws-sam-cli-managed-default",
		"--tags", "Key=ManagedStackSource,Value=AwsSamCli", "--template-body", managed); err != nil {
		return err
	}
	deploy, err := os.ReadFile(filepath.Join(s.source, "docs", "deploy-aws.md"))
	if err != nil {
		return err
	}
	secrets, err := os.ReadFile(filepath.Join(s.source, "docs", "secrets.md"))
	if err != nil {
		return err
	}
	var create, rest []string
	for _, line := range commands(string(deploy), "") {
		tool, _, _ := strings.Cut(line, " ")
		switch {
		case len(create) == 0 && tool == "aws":
			create = []string{line}
		case tool == "aws", tool == "sam", strings.HasPrefix(line, "make deploy-aws "):
			rest = append(rest, line)
		}
	}
	lines := slices.Concat(create, commands(string(secrets), "aws "), rest)
	deployed := false
	for _, line := range lines {
		answers := "y\ny\ny\n"
		if strings.Contains(line, "/dev/stdin") {
			answers = "sk_orga_ai_verify\n"
		}
		if _, err := s.run(ctx, s.source, env, "sh", "-c", `printf "$1" | `+line, "sh", answers); err != nil {
			return err
		}
		if !strings.HasPrefix(line, "make ") {
			continue
		}
		deployed = true
		auth, err := s.run(ctx, s.source, env, aws, "cloudformation", "describe-stacks", "--stack-name", "orga-session",
			"--query", "Stacks[0].Parameters[?ParameterKey=='Auth'].ParameterValue", "--output", "text")
		if err != nil || strings.TrimSpace(auth) != "anonymous" {
			return fmt.Errorf("the stack has Auth=%s: %w", auth, err)
		}
	}
	if _, err := s.run(ctx, s.source, env, aws, "cloudformation", "describe-stacks", "--stack-name", "orga-session"); err == nil || !deployed {
		return errors.New("the page deploys nothing, or leaves it behind")
	}
	fmt.Fprintf(os.Stderr, "       %d lines of the page were run\n", len(lines))
	return nil
}
