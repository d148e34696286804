package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/orga-session/orga-session/core"
)

var awsTools = map[string]string{
	"sam": "The SAM CLI: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/install-sam-cli.html",
	"aws": "The AWS CLI: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
}

var awsCLI = cli{
	absent: regexp.MustCompile(`\(ValidationError\) when calling the DescribeStacks operation: Stack with id .* does not exist|\(ResourceNotFoundException\)`),
	login:  "aws configure sso    (or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)",
}

const awsFile = "dist/deploy-aws.toml" // a settings file

func (d *deploy) aws(ctx context.Context) (plan, error) {
	stack, secret := d.value("STACK", "orga-session"), d.value("SECRET", "orga-api-key")
	parameters, err := d.awsParameters()
	faults := []error{err, checkInstalled(awsTools)}

	region := d.value("REGION", d.value("AWS_REGION", d.env["AWS_DEFAULT_REGION"]))
	if region == "" {
		region, _ = d.query(ctx, "aws", "configure", "get", "region")
	}
	who, arn, exists := "", "ARN-OF-"+secret, false
	switch {
	case faults[1] != nil:
	case region == "":
		faults = append(faults, missing{"No region is set.", "make deploy-aws REGION=eu-central-1"})
	case regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`).MatchString(region):
		faults = append(faults, missing{region + " is a Google Cloud region.", "make deploy-aws REGION=eu-central-1    (aws account list-regions prints all regions)"})
	default:
		if who, err = d.query(ctx, "aws", "sts", "get-caller-identity", "--region", region, "--query", "Arn", "--output", "text"); err != nil {
			faults = append(faults, awsCLI.failed("The AWS CLI is not logged in", err))
			break
		}
		found, ok, err := d.find(ctx, awsCLI, "the secret "+secret, "aws", "secretsmanager", "describe-secret", "--secret-id", secret, "--region", region, "--query", "ARN", "--output", "text")
		if err != nil {
			faults = append(faults, err)
			break
		}
		if !ok {
			faults = append(faults, missing{
				fmt.Sprintf("There is no secret %s in %s.", secret, region),
				fmt.Sprintf("aws secretsmanager create-secret --region %s --name %s --secret-string file:///dev/stdin\nThen type or paste the key, press Enter, then Ctrl-D. To use another secret: make deploy-aws SECRET=name", region, secret),
			})
			break
		}
		arn = found
		_, exists, err = d.find(ctx, awsCLI, "the stack "+stack, "aws", "cloudformation", "describe-stacks", "--stack-name", stack, "--region", region)
		faults = append(faults, err)
	}
	if region == "" {
		region = "REGION"
	}
	return plan{
		summary: compact(
			fmt.Sprintf("AWS: build the function and deploy it as stack %s in %s%s.", stack, region, asAccount(who)),
			"The stack has an HTTP API and a Lambda function with its role and log group. The function reads the secret "+secret+".",
			d.tags()),
		steps: [][]string{
			{"sam", "build"},
			{
				"sam", "deploy", "--stack-name", stack, "--region", region, "--resolve-s3", "--capabilities", "CAPABILITY_IAM",
				"--no-confirm-changeset", "--no-fail-on-empty-changeset", "--config-file", awsFile,
			},
		},
		exists: exists,
		file: settingsFile{
			name:     awsFile,
			settings: append([]setting{{name: "ApiKeySecretArn", value: arn}}, parameters...),
			format:   samConfig,
		},
		after: "Use the output Endpoint, above, in your app. Ready answers 200 once the key is available. Test the endpoint with make probe URL=…",
	}, errors.Join(faults...)
}

// awsParameters returns the template's parameters: those of the settings, and its own.
func (d *deploy) awsParameters() (list []setting, err error) {
	const own = "the template sets it; see docs/deploy-aws.md"
	settings, err := d.settings(map[string]string{
		"ORGA_API_KEY":              "store the key as a secret",
		"ORGA_API_KEY_SOURCE":       own + " (SECRET=name)",
		"ORGA_AUTH_HMAC_KEY_SOURCE": own + " (AuthHmacSecretArn=arn)",
		"ORGA_TENANTS_SOURCE":       own + " (TenantsSecretArn=arn TenantKeySecretArns=arns)",
	})
	known, perr := d.parameters()
	err = errors.Join(err, perr)
	for _, s := range settings {
		// SAM silently drops overrides that are not parameters of the template.
		if !slices.Contains(known, parameterName(s.name)) {
			err = errors.Join(err, fmt.Errorf("%s is not deployed: template.yaml has no parameter %s; add it there where the function needs it", s.name, parameterName(s.name)))
			continue
		}
		list = append(list, setting{parameterName(s.name), s.value, s.secret})
	}
	for _, name := range known {
		if value, ok := d.env.Lookup(name); ok && variableOf(name) == "" {
			list = append(list, setting{name: name, value: value})
		}
	}
	for _, p := range list {
		if strings.Contains(p.value, `\`) || strings.Contains(p.value, "ParameterKey=") {
			err = errors.Join(err, fmt.Errorf("%s: SAM takes a value with a backslash or ParameterKey= for several parameters", p.name))
		}
	}
	return list, err
}

// samConfig formats parameters as a configuration file of SAM. Its strings are JSON's, which TOML reads. Values have no backslash:
// SAM does not read a doubled one as one.
func samConfig(parameters []setting) string {
	var text strings.Builder
	text.WriteString("version = 0.1\n\n[default.deploy.parameters]\nparameter_overrides = [\n")
	for _, p := range parameters {
		fmt.Fprintf(&text, "  %s,\n", jsonText(fmt.Sprintf(`%s="%s"`, p.name, strings.ReplaceAll(p.value, `"`, `\"`))))
	}
	text.WriteString("]\n")
	return text.String()
}

// variableOf returns the variable that sets a parameter of the template, "" if the parameter is passed by its own name.
func variableOf(parameter string) string {
	if parameter == "ApiKeySecretArn" {
		return "SECRET"
	}
	variables := []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"}
	for _, s := range core.Settings() {
		variables = append(variables, s.Variable)
	}
	for _, v := range variables {
		if v != "" && parameterName(v) == parameter {
			return v
		}
	}
	return ""
}

// parameterName returns the template's parameter for a setting, such as CorsOrigins for ORGA_CORS_ORIGINS.
func parameterName(setting string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(strings.TrimPrefix(setting, "ORGA_"), "_") {
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return b.String()
}

// asAccount returns the account that deploys, for the plan; "" if it is unknown.
func asAccount(who string) string {
	if who == "" {
		return ""
	}
	return ", as " + who
}
