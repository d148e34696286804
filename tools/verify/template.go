package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// resource is what a stack of template.yaml has under a logical ID.
type resource struct {
	Type       string
	Properties json.RawMessage
}

// properties are those of functions, roles and policies that are checked.
type properties struct {
	Architectures []string
	Timeout       int
	Environment   struct{ Variables map[string]string }

	ManagedPolicyArns []string
	Policies          []policy // of a role
	policy                     // of a policy
}

func (r resource) properties() (p properties, err error) {
	err = json.Unmarshal(r.Properties, &p)
	return p, err
}

type policy struct {
	PolicyDocument struct{ Statement list[statement] }
}

type statement struct {
	Effect                 string
	Action, Resource       list[string]
	NotAction, NotResource any
}

// list is a list in a policy, where a single element may stand alone.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(text []byte) error {
	if text[0] == '[' {
		return json.Unmarshal(text, (*[]T)(l))
	}
	*l = make([]T, 1)
	return json.Unmarshal(text, &(*l)[0])
}

// randomSuffix ends the names that moto chooses.
var randomSuffix = regexp.MustCompile(`-[0-9A-Z]{12}\b`)

// stacks returns the resources of template.yaml by logical ID, for each set of parameters. Names have no random
// suffixes.
func (s *suite) stacks(ctx context.Context, parameters ...map[string]string) ([]map[string]resource, error) {
	args := []string{filepath.Join(s.source, "tools", "verify", "template.py")}
	for _, set := range parameters {
		text, err := json.Marshal(set)
		if err != nil {
			return nil, err
		}
		args = append(args, string(text))
	}
	text, err := s.run(ctx, s.source, nil, filepath.Join(s.awsBin, "python"), args...)
	if err != nil {
		return nil, err
	}
	var stacks []map[string]resource
	err = json.Unmarshal([]byte(randomSuffix.ReplaceAllString(text, "")), &stacks)
	return stacks, err
}

// grant allows one action on one resource.
type grant struct{ action, resource string }

// grants returns all grants of a stack's roles, sorted.
func grants(stack map[string]resource) ([]grant, error) {
	var all []grant
	for name, r := range stack {
		if !strings.HasPrefix(r.Type, "AWS::IAM::") {
			continue
		}
		p, err := r.properties()
		if err != nil {
			return nil, err
		}
		if len(p.ManagedPolicyArns) > 0 {
			return nil, fmt.Errorf("%s has managed policies, which grant more than is needed: %v", name, p.ManagedPolicyArns)
		}
		for _, policy := range append(p.Policies, p.policy) {
			for _, s := range policy.PolicyDocument.Statement {
				if s.Effect != "Allow" || s.NotAction != nil || s.NotResource != nil {
					return nil, fmt.Errorf("%s has a statement of another kind", name)
				}
				for _, action := range s.Action {
					for _, on := range s.Resource {
						all = append(all, grant{action, on})
					}
				}
			}
		}
	}
	slices.SortFunc(all, compareGrants)
	return all, nil
}

func compareGrants(a, b grant) int { return strings.Compare(a.action+a.resource, b.action+b.resource) }

var goarch = regexp.MustCompile(`GOARCH=(\S+)`)

// checkTemplate checks permissions, the gateway's CORS and the architecture of template.yaml.
func (s *suite) checkTemplate(ctx context.Context, a arns) error {
	stacks, err := s.stacks(ctx,
		map[string]string{"ApiKeySecretArn": a.key},
		map[string]string{"ApiKeySecretArn": a.key, "RateLimitStore": "memory"},
		map[string]string{"ApiKeySecretArn": a.key, "RateLimitStore": "memory", "CanaryMinutes": "5", "CanaryHmacSecretArn": a.hmac},
	)
	if err != nil {
		return err
	}
	const account = "eu-central-1:123456789012:"
	const logGroup = "arn:aws:logs:" + account + "log-group:/aws/lambda/verify"
	minimal := []grant{{"logs:CreateLogStream", logGroup}, {"logs:PutLogEvents", logGroup}, {"secretsmanager:GetSecretValue", a.key}}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for i, want := range [][]grant{
		append(slices.Clone(minimal), grant{"dynamodb:UpdateItem", "arn:aws:dynamodb:" + account + "table/verify-RateLimitTable"}),
		minimal,
		append(slices.Clone(minimal), grant{"secretsmanager:GetSecretValue", a.hmac}), // both roles use the log's policy
	} {
		slices.SortFunc(want, compareGrants)
		if got, err := grants(stacks[i]); err != nil || !slices.Equal(got, want) {
			fault("stack %d: the functions may do %v, not just %v (%v)", i, got, want, err)
		}
	}
	if _, ok := stacks[1]["RateLimitTable"]; ok {
		fault("with RateLimitStore=memory there is a table")
	}
	if _, ok := stacks[0]["CanaryFunction"]; ok {
		fault("without CanaryMinutes there is a canary")
	}
	if _, ok := stacks[2]["CanaryFunction"]; !ok {
		fault("with CanaryMinutes there is no canary")
	}
	for name, r := range stacks[0] {
		if strings.HasPrefix(r.Type, "AWS::ApiGateway") && strings.Contains(strings.ToLower(string(r.Properties)), "cors") {
			fault("%s configures CORS itself", name)
		}
	}
	makefile, err := os.ReadFile(filepath.Join(s.source, "Makefile"))
	if err != nil {
		return err
	}
	_, recipe, _ := strings.Cut(string(makefile), "\nbuild-OrgaSessionFunction:")
	builds := goarch.FindStringSubmatch(recipe)
	function, err := stacks[0]["OrgaSessionFunction"].properties()
	if err != nil || builds == nil || !slices.Equal(function.Architectures, builds[1:]) {
		fault("the template runs %s, the Makefile builds %v (%v)", function.Architectures, builds, err)
	}
	return errors.Join(faults...)
}
