package drill

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// metrics are values by series and minute. A series is named "namespace name dimension=value …".
type metrics map[string]map[int][]float64

func (m metrics) add(series string, minute int, value float64) {
	if m[series] == nil {
		m[series] = make(map[int][]float64)
	}
	m[series][minute] = append(m[series][minute], value)
}

// stat returns a statistic over the minutes in (end-period, end]; NaN without values.
func (m metrics) stat(series, name string, end, period int) float64 {
	var all []float64
	for minute := end - period + 1; minute <= end; minute++ {
		all = append(all, m[series][minute]...)
	}
	if len(all) == 0 {
		return math.NaN()
	}
	switch name {
	case "Sum":
		var sum float64
		for _, v := range all {
			sum += v
		}
		return sum
	case "SampleCount":
		return float64(len(all))
	case "p99":
		slices.Sort(all)
		return all[int(math.Ceil(0.99*float64(len(all))))-1]
	}
	panic("template.yaml has another statistic: " + name)
}

// alarm is an alarm of template.yaml, on metrics or on other alarms (all of them).
type alarm struct {
	name, description   string
	periods, datapoints int // M of N: datapoints of periods
	threshold           float64
	operator, missing   string
	expression          string
	inputs              map[string]input
	of                  []string
	period              int // minutes
	acts                bool
}

type input struct{ series, stat string }

// parameters resolves the template's parameters and resource names.
var parameters = map[string]string{"Slo": "99.9", "MaxQuietMinutes": "30", "OrgaSessionFunction": "local", "OrgaSessionApi": "api", "CanaryFunction": "canary"}

func filled(s string) string {
	return regexp.MustCompile(`\$\{(\w+)\}`).ReplaceAllStringFunc(s, func(m string) string {
		if v, ok := parameters[strings.Trim(m, "${}")]; ok {
			return v
		}
		return m
	})
}

func child(n *yaml.Node, key string) *yaml.Node {
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// text returns a resolved scalar.
func text(n *yaml.Node) string {
	switch {
	case n == nil:
		return ""
	case n.Tag == "!Ref":
		return parameters[n.Value]
	case n.Tag == "!Sub":
		return filled(n.Value)
	}
	return n.Value
}

// alarms returns the alarms of template.yaml.
func alarms(t *testing.T) []alarm {
	t.Helper()
	data, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	resources := child(document.Content[0], "Resources")
	number := func(n *yaml.Node) float64 {
		v, err := strconv.ParseFloat(text(n), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var list []alarm
	for i := 0; i < len(resources.Content); i += 2 {
		kind, p := text(child(resources.Content[i+1], "Type")), child(resources.Content[i+1], "Properties")
		a := alarm{name: resources.Content[i].Value, description: text(child(p, "AlarmDescription")), acts: child(p, "AlarmActions") != nil}
		switch kind {
		case "AWS::CloudWatch::CompositeAlarm":
			rule := text(child(p, "AlarmRule"))
			for part := range strings.SplitSeq(rule, " AND ") {
				m := regexp.MustCompile(`^ALARM\("\$\{(\w+)\}"\)$`).FindStringSubmatch(part)
				if m == nil {
					t.Fatalf("%s has a rule of another kind: %s", a.name, rule)
				}
				a.of = append(a.of, m[1])
			}
		case "AWS::CloudWatch::Alarm":
			a.periods, a.datapoints = int(number(child(p, "EvaluationPeriods"))), int(number(child(p, "DatapointsToAlarm")))
			a.threshold, a.operator, a.missing = number(child(p, "Threshold")), text(child(p, "ComparisonOperator")), text(child(p, "TreatMissingData"))
			a.inputs = make(map[string]input)
			for _, m := range child(p, "Metrics").Content {
				if e := child(m, "Expression"); e != nil {
					a.expression = text(e)
					continue
				}
				stat := child(m, "MetricStat")
				metric := child(stat, "Metric")
				series := text(child(metric, "Namespace")) + " " + text(child(metric, "MetricName"))
				for _, d := range child(metric, "Dimensions").Content {
					series += " " + text(child(d, "Name")) + "=" + text(child(d, "Value"))
				}
				a.period = int(number(child(stat, "Period"))) / 60
				a.inputs[text(child(m, "Id"))] = input{series, text(child(stat, "Stat"))}
			}
		default:
			continue
		}
		list = append(list, a)
	}
	return list
}

// firing reports whether an alarm is on at the end of a minute. CloudWatch evaluates it once a minute, over the last N
// periods.
func (a alarm) firing(all []alarm, m metrics, minute int) bool {
	if a.of != nil {
		return !slices.ContainsFunc(a.of, func(name string) bool {
			i := slices.IndexFunc(all, func(b alarm) bool { return b.name == name })
			return !all[i].firing(all, m, minute)
		})
	}
	breaching := 0
	for k := range a.periods {
		end := minute - k*a.period
		v := evaluate(a.expression, func(id string) float64 {
			in, ok := a.inputs[id]
			if !ok {
				panic(a.name + " has no metric " + id)
			}
			return m.stat(in.series, in.stat, end, a.period)
		})
		var breaches bool
		switch {
		case math.IsNaN(v):
			breaches = a.missing == "breaching"
		case a.operator == "GreaterThanOrEqualToThreshold":
			breaches = v >= a.threshold
		case a.operator == "GreaterThanThreshold":
			breaches = v > a.threshold
		case a.operator == "LessThanThreshold":
			breaches = v < a.threshold
		default:
			panic("template.yaml has another operator: " + a.operator)
		}
		if breaches {
			breaching++
		}
	}
	return breaching >= a.datapoints
}

// evaluate evaluates an expression of CloudWatch's metric math for one period. NaN means a missing value.
func evaluate(expression string, value func(id string) float64) float64 {
	e := &expr{rest: expression, value: value}
	v := e.and()
	if e.skip(); e.rest != "" {
		panic("metric math of another kind: " + e.rest)
	}
	return v
}

type expr struct {
	rest  string
	value func(string) float64
}

func (e *expr) skip() { e.rest = strings.TrimLeft(e.rest, " ") }

func (e *expr) take(token string) bool {
	e.skip()
	var ok bool
	e.rest, ok = strings.CutPrefix(e.rest, token)
	return ok
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (e *expr) and() float64 {
	v := e.comparison()
	for e.take("AND ") {
		w := e.comparison()
		v = truth(v != 0 && w != 0)
	}
	return v
}

func (e *expr) comparison() float64 {
	v := e.sum()
	switch {
	case e.take("=="):
		return truth(v == e.sum())
	case e.take(">="):
		return truth(v >= e.sum())
	case e.take(">"):
		return truth(v > e.sum())
	}
	return v
}

func (e *expr) sum() float64 {
	v := e.product()
	for {
		switch {
		case e.take("+"):
			v += e.product()
		case e.take("-"):
			v -= e.product()
		default:
			return v
		}
	}
}

func (e *expr) product() float64 {
	v := e.factor()
	for e.take("/") {
		v /= e.factor()
	}
	return v
}

func (e *expr) factor() float64 {
	e.skip()
	if e.take("(") {
		v := e.and()
		e.want(")")
		return v
	}
	end := strings.IndexFunc(e.rest, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' && r != '_' })
	if end < 0 {
		end = len(e.rest)
	}
	word := e.rest[:end]
	e.rest = e.rest[end:]
	switch word {
	case "IF":
		e.want("(")
		condition := e.and()
		e.want(",")
		yes := e.and()
		e.want(",")
		no := e.and()
		e.want(")")
		if condition != 0 {
			return yes
		}
		return no
	case "FILL":
		e.want("(")
		v := e.and()
		e.want(",")
		with := e.and()
		e.want(")")
		if math.IsNaN(v) {
			return with
		}
		return v
	}
	if v, err := strconv.ParseFloat(word, 64); err == nil {
		return v
	}
	return e.value(word)
}

func (e *expr) want(token string) {
	if !e.take(token) {
		panic(fmt.Sprintf("metric math: want %s before %q", token, e.rest))
	}
}

// If one of several callers uses a key that Orga refuses, every few minutes for a day, the alarm turns on once and does not
// flap. The same holds for a canary if every second run fails. A burn rate near its threshold may cross it a few times.
func TestNoFloodOfMails(t *testing.T) {
	list := alarms(t)
	const day = 24 * 60
	for _, every := range []int{5, 14} {
		m := make(metrics)
		for minute := range day {
			for range 8 {
				healthy(m, minute)
			}
			if minute >= 60 && minute%every == 0 {
				m.add("OrgaSession requests function=local code=upstream_auth_failed", minute, 1)
				m.add("AWS/ApiGateway 5xx ApiId=api", minute, 1)
			}
			if minute >= 60 && minute%10 == 0 { // every second run of the canary
				m.add("OrgaSession canary_failed function=canary", minute, 1)
			}
		}
		for _, a := range list {
			if !a.acts {
				continue
			}
			var was bool
			changes := 0
			for minute := 30; minute < day; minute++ { // after QuietAlarm's first half hour
				if is := a.firing(list, m, minute); is != was {
					was = is
					changes++
				}
			}
			if (a.name == "KeyRefusedAlarm" || a.name == "CanaryFailedAlarm") && changes != 1 || changes > 6 || a.of == nil && changes > 1 {
				t.Errorf("every %d minutes: %s changes %d times a day", every, a.name, changes)
			}
		}
	}
}

// contentCanary is a successful canary run, every five minutes.
func contentCanary(m metrics, minute int) {
	if minute%5 == 0 {
		m.add("OrgaSession canary_ok function=canary", minute, 1)
	}
}

// healthy is one successful mint, and the canary.
func healthy(m metrics, minute int) {
	contentCanary(m, minute)
	m.add("OrgaSession requests function=local code=ok", minute, 1)
	m.add("OrgaSession total_ms function=local", minute, 150)
}
