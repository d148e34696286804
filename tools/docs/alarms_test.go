package docs

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var row = regexp.MustCompile(`(?m)^\| <a id="(alarm-[a-z-]+)"></a>(.*)$`)

// Each alarm with an action states its urgency and links to the row of docs/operate.md that names it, and each row belongs
// to an alarm. Google's alarms are the same.
func TestAlarms(t *testing.T) {
	files := tree(t)
	rows := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(files["docs/operate.md"], -1) {
		rows[m[1]] = m[2]
	}
	const page = "https://github.com/orga-session/orga-session/blob/main/docs/operate.md#"
	used := make(map[string]bool)
	found := 0
	for _, m := range regexp.MustCompile(`(?m)^  (\w+Alarm):\n((?:    .*\n|\n)+)`).FindAllStringSubmatch(files["template.yaml"], -1) {
		name, body := m[1], m[2]
		description := regexp.MustCompile(`AlarmDescription: "(.*)"`).FindStringSubmatch(body)
		switch {
		case description == nil:
			t.Errorf("%s has no description", name)
		case !strings.Contains(body, "AlarmActions:"):
			if !strings.Contains(files["template.yaml"], `ALARM("${`+name+`}")`) {
				t.Errorf("%s does nothing, and is part of no other alarm", name)
			}
		default:
			found++
			said := regexp.MustCompile(`^(?:PAGE|TICKET)\. .+\. ` + regexp.QuoteMeta(page) + `([a-z-]+)$`).FindStringSubmatch(description[1])
			if said == nil {
				t.Errorf("%s: want PAGE or TICKET, a sentence and the address of its row: %s", name, description[1])
			} else if used[said[1]] = true; !strings.Contains(rows[said[1]], "`"+name+"`") {
				t.Errorf("%s: the row %s of docs/operate.md does not name it", name, said[1])
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d alarms found", found)
	}
	for anchor := range rows {
		if !used[anchor] {
			t.Errorf("docs/operate.md: no alarm links to %s", anchor)
		}
	}

	created := strings.Fields(regexp.MustCompile(`(?s)for alert in (.*?); do\n`).FindStringSubmatch(files["docs/operate.md"])[1])
	optional := []string{"canary-failed", "canary-silent"}
	google := []string{"alarm-throttles", "alarm-quiet"} // missing on Google
	for name, text := range files {
		if !strings.HasPrefix(name, "docs/gcp/alerts/") {
			continue
		}
		alert := strings.TrimSuffix(path.Base(name), ".yaml")
		if !slices.Contains(created, alert) && !slices.Contains(optional, alert) {
			t.Errorf("docs/operate.md does not create %s", name)
		}
		m := regexp.MustCompile(`\n      url: ` + regexp.QuoteMeta(page) + `([a-z-]+)\n`).FindStringSubmatch(text)
		if m == nil || !used[m[1]] {
			t.Errorf("%s links to no row of docs/operate.md", name)
			continue
		}
		google = append(google, m[1])
		for _, metric := range regexp.MustCompile(`logging_googleapis_com:user_([a-z_]+?)(?:_bucket|_count)?\{`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(files["docs/operate.md"], "metrics create "+strings.ReplaceAll(metric[1], "_", "-")+" ") {
				t.Errorf("%s reads %s, which docs/operate.md does not create", name, metric[1])
			}
		}
	}
	for anchor := range used {
		if !slices.Contains(google, anchor) {
			t.Errorf("docs/gcp/alerts has nothing for %s", anchor)
		}
	}
}
