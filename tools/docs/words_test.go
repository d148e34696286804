package docs

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// replaced lists words to avoid, and what to use instead. A blank in a pattern also matches line breaks and comment marks,
// so that a phrase is found across lines, and so that this file does not match itself.
var replaced = []struct{ pattern, use string }{
	{`(?i)tells\s+whether`, "reports whether"},
	{`(?i)in\s+(?:other|IPv6)\s+clothes`, "in another form, IPv4-mapped"},
	{`(?i)of\s+this\s+house`, "of this project"},
	{`(?i)stands\s+twice`, "is repeated"},
	{`(?i)\bis\s+no\s+text`, "must be a string, is not UTF-8"},
	{`(?i)\bis\s+no\s+e-?mail`, "must be an email address"},
	{`(?i)as\s+it\s+was\s+told`, "as configured"},
	{`(?i)whom\s+the\s+platform`, "verified by the platform"},
	{`(?i)who\s+may\s+ask\b`, "authentication, callers"},
	{`(?i)mistake\s+of\s+ours`, "a bug"},
	{`(?i)the\s+store\s+is\s+out\b`, "the store is down"},
	{`(?i)\bstranger(?:s|'s)?\b`, "unknown, unlisted, unverified"},
	{`(?i)\bpatience\b`, "timeout"},
	{`(?i)\bat\s+hand\b`, "cached, current"},
	{`(?i)\bfor\s+good\b`, "permanently"},
	{`(?i)\bwon\s+back\b`, "retried, recovered"},
	{`(?i)\bhand(?:s|ed)?\s+on\b`, "passes on"},
	{`(?i)\bunder\s+way\b`, "in progress, running"},
	{`(?i)\bin\s+good\s+health\b`, "healthy, no faults set"},
	{`(?i)\bnobody\s+known\b`, "no known authority"},
	{`(?i)\bof\s+(?:its|their|one's)\s+own\b`, "its own, a separate"},
	{`(?i)\bof\s+(?:ours|yours|theirs)\b`, "our, your, their own"},
	{`(?i)\b(?:whoever|whom)\b`, "anyone who, who"},
	{`(?i)\b(?:anew|beside)\b`, "again, next to, with"},
	{`(?i)\bspoil(?:s|t|ed)?\b`, "damage, break"},
	{`(?i)\bmisspelt\b`, "misspelled"},
	{`(?i)\bis\s+no\s+(?:JSON|object|list|number|string|base64|HTTP|tokens?|keys?|faults?|credentials?|hosts?|URL|id)\b`, "is not JSON, is not a list"},
	{`\b(?:comeBack|worthwhile)\b`, "retryLater, minRemaining"},
	{`\b[mM]axDeaf\b`, "maxAbandoned"},
	{`\bgathered\b`, "batcher"},
	{`\bErrGone\b`, "ErrPermanent"},
	{`\bOutage\x28`, "Unavailable"},
	{`\bDegrade\b`, "Fallback"},
}

// The repository does not use words that the list replaces.
func TestWords(t *testing.T) {
	kinds := map[string]bool{}
	for ext := range strings.FieldsSeq(".go .sh .mjs .js .html .yaml .yml .toml .json .md") {
		kinds[ext] = true
	}
	groups := make([]string, len(replaced))
	for i, r := range replaced {
		groups[i] = "(" + strings.ReplaceAll(r.pattern, `\s+`, `[\s/#*>]+`) + ")"
	}
	words := regexp.MustCompile(strings.Join(groups, "|"))
	for name, text := range tree(t) {
		if !kinds[path.Ext(name)] && path.Base(name) != "Makefile" || path.Base(name) == "words_test.go" ||
			path.Base(name) == "package-lock.json" {
			continue
		}
		if name == "CHANGELOG.md" { // it names what was renamed
			text = span.ReplaceAllString(regexp.MustCompile(`(?m)^ {6,}.*`).ReplaceAllString(text, ""), "``")
		}
		for _, at := range words.FindAllStringSubmatchIndex(text, -1) {
			group := 1
			for at[2*group] < 0 {
				group++
			}
			line := 1 + strings.Count(text[:at[0]], "\n")
			t.Errorf("%s:%d: %q: use %s", name, line, text[at[0]:at[1]], replaced[group-1].use)
		}
	}
}
