package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// template is a CloudFormation template, resolved for one set of parameters.
type template struct {
	Parameters map[string]struct {
		Type    string
		Default any
	}
	Conditions map[string]any
	Resources  map[string]resource

	given map[string]string
}

type resource struct {
	Type       string
	Condition  string
	Properties map[string]any
}

func parseTemplate(text string, parameters map[string]string) (*template, error) {
	t := &template{given: parameters}
	if err := json.Unmarshal([]byte(text), t); err != nil {
		return nil, err
	}
	for name := range parameters {
		if _, ok := t.Parameters[name]; !ok {
			return nil, fmt.Errorf("template.yaml has no parameter %s", name)
		}
	}
	return t, nil
}

// exists reports whether a resource is created with these parameters.
func (t *template) exists(r resource) bool { return r.Condition == "" || t.condition(r.Condition) }

func (t *template) condition(name string) bool { return t.truth(t.Conditions[name]) }

func (t *template) truth(v any) bool {
	function, args := intrinsic(v)
	list, _ := args.([]any)
	switch function {
	case "Fn::Equals":
		return fmt.Sprint(t.resolve(list[0])) == fmt.Sprint(t.resolve(list[1]))
	case "Fn::Not":
		return !t.truth(list[0])
	case "Fn::And":
		return !slices.ContainsFunc(list, func(v any) bool { return !t.truth(v) })
	case "Fn::Or":
		return slices.ContainsFunc(list, t.truth)
	case "Condition":
		return t.condition(args.(string))
	}
	panic(fmt.Sprintf("a condition of another kind: %v", v))
}

// noValue is the resolved AWS::NoValue: the property is omitted.
type noValue struct{}

var placeholder = regexp.MustCompile(`\$\{([A-Za-z:0-9]+)\}`)

// resolve returns the value that CloudFormation would set. A reference to another resource is "<name>".
func (t *template) resolve(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, 0, len(v))
		for _, e := range v {
			if r := t.resolve(e); r != (any)(noValue{}) {
				list = append(list, r)
			}
		}
		return list
	case map[string]any:
		function, args := intrinsic(v)
		switch function {
		case "Ref":
			return t.ref(args.(string))
		case "Fn::If":
			list := args.([]any)
			if t.condition(list[0].(string)) {
				return t.resolve(list[1])
			}
			return t.resolve(list[2])
		case "Fn::Sub":
			return placeholder.ReplaceAllStringFunc(args.(string), func(m string) string {
				return fmt.Sprint(t.ref(strings.Trim(m, "${}")))
			})
		case "Fn::GetAtt":
			return fmt.Sprintf("<%v>", args)
		case "Fn::Join":
			list := args.([]any)
			var parts []string
			for _, e := range t.resolve(list[1]).([]any) {
				parts = append(parts, fmt.Sprint(e))
			}
			return strings.Join(parts, fmt.Sprint(list[0]))
		}
		m := make(map[string]any, len(v))
		for name, e := range v {
			if r := t.resolve(e); r != (any)(noValue{}) {
				m[name] = r
			}
		}
		return m
	}
	return v
}

func (t *template) ref(name string) any {
	if name == "AWS::NoValue" {
		return noValue{}
	}
	p, ok := t.Parameters[name]
	if !ok {
		return "<" + name + ">"
	}
	value, ok := t.given[name]
	if !ok {
		value = fmt.Sprint(p.Default)
	}
	if p.Type == "CommaDelimitedList" {
		var list []any
		for e := range strings.SplitSeq(value, ",") {
			list = append(list, e)
		}
		return list
	}
	return value
}

// intrinsic returns the name of the function that v calls, "" if it calls none.
func intrinsic(v any) (name string, args any) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return "", nil
	}
	for name, args = range m {
		if name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::") {
			return name, args
		}
	}
	return "", nil
}

// environment returns the function's environment variables.
func (t *template) environment() (map[string]string, error) {
	function, ok := t.Resources["OrgaSessionFunction"]
	if !ok {
		return nil, errors.New("no OrgaSessionFunction")
	}
	outer, _ := t.resolve(function.Properties["Environment"]).(map[string]any)
	variables, _ := outer["Variables"].(map[string]any)
	env := make(map[string]string, len(variables))
	for name, value := range variables {
		env[name] = fmt.Sprint(value)
	}
	return env, nil
}

// grant allows one action on one resource.
type grant struct{ action, resource string }

// grants are all grants of the deployment's roles.
func (t *template) grants() ([]grant, error) {
	var list []grant
	for name, r := range t.Resources {
		if !t.exists(r) || !strings.HasPrefix(r.Type, "AWS::IAM::") {
			continue
		}
		properties, _ := t.resolve(r.Properties).(map[string]any)
		if managed, _ := properties["ManagedPolicyArns"].([]any); len(managed) > 0 {
			return nil, fmt.Errorf("%s has managed policies, which grant more than is needed: %v", name, managed)
		}
		policies, _ := properties["Policies"].([]any)
		if r.Type != "AWS::IAM::Role" {
			policies = []any{properties}
		}
		for _, p := range policies {
			policy, _ := p.(map[string]any)
			document, _ := policy["PolicyDocument"].(map[string]any)
			for _, s := range many(document["Statement"]) {
				statement, ok := s.(map[string]any)
				if !ok || statement["Effect"] != "Allow" || statement["NotAction"] != nil || statement["NotResource"] != nil {
					return nil, fmt.Errorf("%s has a statement of another kind", name)
				}
				for _, action := range many(statement["Action"]) {
					for _, on := range many(statement["Resource"]) {
						list = append(list, grant{fmt.Sprint(action), fmt.Sprint(on)})
					}
				}
			}
		}
	}
	slices.SortFunc(list, compareGrants)
	return list, nil
}

func compareGrants(a, b grant) int { return strings.Compare(a.action+a.resource, b.action+b.resource) }

func many(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}
