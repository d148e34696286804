package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var awsTools = map[string]string{
	"sam": "The SAM CLI: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/install-sam-cli.html",
	"aws": "The AWS CLI: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
}

func (d *deploy) aws(ctx context.Context) (plan, error) {
	stack, secret := d.value("STACK", "orga-session"), d.value("SECRET", "orga-api-key")
	parameters, err := d.awsParameters()
	faults := []error{err, need(awsTools)}

	region := d.value("REGION", d.value("AWS_REGION", d.value("AWS_DEFAULT_REGION", "")))
	if region == "" {
		region, _ = d.query(ctx, "aws", "configure", "get", "region")
	}
	who, arn, exists := "", "ARN-OF-"+secret, false
	switch {
	case faults[1] != nil:
	case region == "":
		faults = append(faults, missing{"No region is set.", "make deploy-aws REGION=eu-central-1"})
	default:
		var in bool
		if who, in = d.query(ctx, "aws", "sts", "get-caller-identity", "--region", region, "--query", "Arn", "--output", "text"); !in {
			faults = append(faults, missing{"The AWS CLI is not logged in.", "aws configure sso    (or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"})
			break
		}
		found, ok := d.query(ctx, "aws", "secretsmanager", "describe-secret", "--secret-id", secret, "--region", region, "--query", "ARN", "--output", "text")
		if !ok {
			faults = append(faults, missing{
				fmt.Sprintf("There is no secret %s in %s (or you are not allowed to see it).", secret, region),
				fmt.Sprintf("aws secretsmanager create-secret --region %s --name %s --secret-string file:///dev/stdin\nThen type or paste the key, press Enter, then Ctrl-D. To use another secret: make deploy-aws SECRET=name", region, secret),
			})
			break
		}
		arn = found
		_, exists = d.query(ctx, "aws", "cloudformation", "describe-stacks", "--stack-name", stack, "--region", region)
	}
	if region == "" {
		region = "REGION"
	}
	overrides := append([]string{`ApiKeySecretArn="` + arn + `"`}, parameters...)
	return plan{
		summary: compact(
			fmt.Sprintf("AWS: build the function and deploy it as stack %s in %s%s.", stack, region, as(who)),
			"The stack has an HTTP API and a Lambda function with its role and log group. The function reads the secret "+secret+".",
			d.tags()),
		steps: [][]string{
			{"sam", "build"},
			append([]string{
				"sam", "deploy", "--stack-name", stack, "--region", region, "--resolve-s3", "--capabilities", "CAPABILITY_IAM",
				"--no-confirm-changeset", "--no-fail-on-empty-changeset", "--parameter-overrides",
			}, overrides...),
		},
		exists: exists,
		after:  "Use the output Endpoint, above, in your app. Ready answers 200 once the key is available. Test the endpoint with make probe URL=…",
	}, errors.Join(faults...)
}

// awsParameters returns the template's parameters: those of the settings, and its own.
func (d *deploy) awsParameters() (list []string, err error) {
	const own = "the template sets it; see docs/deploy-aws.md"
	settings, err := d.settings(map[string]string{
		"ORGA_API_KEY":              "store the key as a secret",
		"ORGA_API_KEY_SOURCE":       own + " (SECRET=name)",
		"ORGA_AUTH_HMAC_KEY_SOURCE": own + " (AuthHmacSecretArn=arn)",
		"ORGA_TENANTS_SOURCE":       own + " (TenantsSecretArn=arn TenantKeySecretArns=arns)",
	})
	// SAM silently drops overrides that are not parameters of the template.
	template, rerr := os.ReadFile(filepath.Join(d.root, "template.yaml"))
	err = errors.Join(err, rerr)
	for _, s := range settings {
		if !strings.Contains(string(template), "\n  "+parameterName(s.name)+":\n") {
			err = errors.Join(err, fmt.Errorf("%s is not deployed: template.yaml has no parameter %s; add it there where the function needs it", s.name, parameterName(s.name)))
			continue
		}
		list = append(list, parameter(s.name, s.value))
	}
	for _, name := range []string{
		"ApiKeySecretField", "SecretsKmsKeyArn", "AuthHmacSecretArn", "TenantsSecretArn", "TenantKeySecretArns",
		"ReservedConcurrency", "MemorySize", "LogRetentionDays", "Tracing", "AlarmEmail", "AlarmTopicArn", "Dashboard", "OtelLayerArn",
	} {
		if value, ok := d.lookup(name); ok {
			list = append(list, quoted(name, value))
		}
	}
	return list, err
}

// parameter formats a setting as a parameter override for SAM.
func parameter(setting, value string) string { return quoted(parameterName(setting), value) }

func quoted(name, value string) string {
	return fmt.Sprintf(`%s="%s"`, name, strings.ReplaceAll(value, `"`, `\"`))
}

// parameterName returns the template's parameter for a setting, such as CorsOrigins for ORGA_CORS_ORIGINS.
func parameterName(setting string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(strings.TrimPrefix(setting, "ORGA_"), "_") {
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return b.String()
}

// as names the account that deploys, if it is known.
func as(who string) string {
	if who == "" {
		return ""
	}
	return ", as " + who
}
