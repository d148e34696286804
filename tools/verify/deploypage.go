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

// managedStack is the stack that SAM creates at an account's first deploy, for its uploads. SAM creates it by a change
// set, whose tags and outputs moto loses.
const managedStack = `{"Resources":{"SamCliSourceBucket":{"Type":"AWS::S3::Bucket"}},"Outputs":{"SourceBucket":{"Value":{"Ref":"SamCliSourceBucket"}}}}`

// followDeployPage runs docs/deploy-aws.md line by line, from creating the secret to removing everything, with AWS's
// own tools and moto as AWS. Commands that would call the endpoint are skipped: moto runs no functions.
func (s *suite) followDeployPage(ctx context.Context) error {
	lines, err := s.deployPageCommands()
	if err != nil {
		return err
	}
	env := []string{
		"PATH=" + s.awsBin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"AWS_ACCESS_KEY_ID=verify", "AWS_SECRET_ACCESS_KEY=none",
		// moto finds a template uploaded by SAM only under this name.
		"AWS_ENDPOINT_URL=" + strings.Replace(s.fixtures.moto.URL, "127.0.0.1", "localhost", 1),
	}
	cloudformation := func(args ...string) (string, error) {
		return s.run(ctx, s.source, env, filepath.Join(s.awsBin, "aws"), append([]string{"cloudformation"}, args...)...)
	}
	if _, err := cloudformation("create-stack", "--stack-name", "aws-sam-cli-managed-default",
		"--tags", "Key=ManagedStackSource,Value=AwsSamCli", "--template-body", managedStack); err != nil {
		return err
	}
	tables := func() (string, error) {
		out, err := s.run(ctx, s.source, env, filepath.Join(s.awsBin, "aws"), "dynamodb", "list-tables", "--query", "TableNames", "--output", "text")
		return strings.TrimSpace(out), err
	}
	var auth, table string // of the stack, once it exists
	for _, line := range lines {
		answers := "y\ny\ny\n"
		if strings.Contains(line, "/dev/stdin") {
			answers = "sk_orga_ai_verify\n"
		}
		if _, err := s.run(ctx, s.source, env, "sh", "-c", `printf "$1" | `+line, "sh", answers); err != nil {
			return err
		}
		if strings.HasPrefix(line, "make ") {
			if auth, err = cloudformation("describe-stacks", "--stack-name", "orga-session",
				"--query", "Stacks[0].Parameters[?ParameterKey=='Auth'].ParameterValue", "--output", "text"); err != nil {
				return err
			}
			if table, err = tables(); err != nil || !strings.HasPrefix(table, "orga-session-RateLimitTable-") {
				return fmt.Errorf("the stack makes no table for limits: %q, %w", table, err)
			}
		}
	}
	if left, err := tables(); err != nil || left != "" {
		return fmt.Errorf("the page leaves the table of limits behind: %q, %w", left, err)
	}
	if strings.TrimSpace(auth) != "anonymous" {
		return fmt.Errorf("the page deploys a stack with Auth=%s, not what it says", auth)
	}
	if _, err := cloudformation("describe-stacks", "--stack-name", "orga-session"); err == nil {
		return errors.New("the page leaves its stack behind")
	}
	fmt.Fprintf(os.Stderr, "       %d lines of the page were run\n", len(lines))
	return nil
}

// deployPageCommands returns the commands of docs/deploy-aws.md. After the command that creates the secret it inserts
// those of docs/secrets.md that rotate it, and after the deployment those of docs/operate.md that read the log.
func (s *suite) deployPageCommands() ([]string, error) {
	pages := make(map[string][]string)
	for _, name := range []string{"deploy-aws.md", "secrets.md", "operate.md"} {
		text, err := os.ReadFile(filepath.Join(s.source, "docs", name))
		if err != nil {
			return nil, err
		}
		pages[name] = slices.DeleteFunc(commands(string(text), ""), func(line string) bool {
			deploys := strings.HasPrefix(line, "make deploy-aws ") && name == "deploy-aws.md" // other pages deploy with a collector
			return !strings.HasPrefix(line, "aws ") && !strings.HasPrefix(line, "sam ") && !deploys
		})
	}
	var lines []string
	for i, line := range pages["deploy-aws.md"] {
		lines = append(lines, line)
		switch {
		case i == 0:
			lines = append(lines, pages["secrets.md"]...)
		case strings.HasPrefix(line, "make "):
			lines = append(lines, pages["operate.md"]...)
		}
	}
	return lines, nil
}
