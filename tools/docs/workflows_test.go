package docs

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The workflows run with credentials, so what they download is pinned: actions to the commit of a tag, the same in all
// workflows, and tools to the versions that make verify runs.
func TestWorkflowsArePinned(t *testing.T) {
	files := tree(t)
	uses := regexp.MustCompile(`uses: *(\S+)(.*)`)
	commit := regexp.MustCompile(`^([\w.-]+/[\w./-]+)@[0-9a-f]{40}$`)
	tag := regexp.MustCompile(`^ # v\d+(\.\d+\.\d+)?$`)
	tool := regexp.MustCompile(`\b(wrangler|netlify-cli)@(\S+?)[\s)";` + "`]")
	pinned, actions := versions(t, files), make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		workflow := strings.HasPrefix(name, "docs/ci/") || strings.HasPrefix(name, ".github/workflows/")
		for _, m := range uses.FindAllStringSubmatch(files[name], -1) {
			if !workflow || path.Ext(name) != ".yml" {
				continue
			}
			action := commit.FindStringSubmatch(m[1])
			if action == nil || !tag.MatchString(m[2]) {
				t.Errorf("%s: %s: want the commit of a tag, and the tag in a comment", name, m[0])
				continue
			}
			if first, ok := actions[action[1]]; ok && first != m[1]+m[2] {
				t.Errorf("%s: %s is %s elsewhere", name, m[0], first)
			}
			actions[action[1]] = m[1] + m[2]
		}
		if ext := path.Ext(name); ext != ".md" && ext != ".yml" && ext != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range tool.FindAllStringSubmatch(files[name], -1) {
			if m[2] != pinned[m[1]] {
				t.Errorf("%s: %s@%s, but make verify runs %s", name, m[1], m[2], pinned[m[1]])
			}
		}
		if workflow && regexp.MustCompile(`npm install --global [^@\s]+\s`).MatchString(files[name]) {
			t.Errorf("%s installs a tool without a version", name)
		}
	}
	if sam := regexp.MustCompile(`version: (\S+)`).FindStringSubmatch(files["docs/ci/aws.yml"]); sam == nil || sam[1] != pinned["aws-sam-cli"] {
		t.Errorf("docs/ci/aws.yml: the version of SAM is %q, but make verify runs %s", sam, pinned["aws-sam-cli"])
	}
	if len(actions) < 8 {
		t.Errorf("only these actions: %v", actions)
	}
}

// The shell of a workflow does not expand a secret, and openssl gets no key as an argument: other processes can read arguments.
func TestNoSecretsInArguments(t *testing.T) {
	files := tree(t)
	secret := regexp.MustCompile(`(?m)^ +(\w+): \$\{\{ *secrets\.`)
	found := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if ext := path.Ext(name); ext != ".md" && ext != ".yml" {
			continue
		}
		if strings.Contains(files[name], `-hmac "$`) {
			t.Errorf("%s: openssl has a key as an argument", name)
		}
		for _, m := range secret.FindAllStringSubmatch(files[name], -1) {
			found++
			if regexp.MustCompile(`\$\{?` + m[1] + `\b`).MatchString(files[name]) {
				t.Errorf("%s: the shell expands the secret %s", name, m[1])
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d secrets", found)
	}
}

// versions returns the versions of the platforms' tools that make verify installs.
func versions(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	list := make(map[string]string)
	for _, name := range []string{"tools/verify/netlify/package.json", "tools/workerd/package.json"} {
		var manifest struct{ Dependencies map[string]string }
		if err := json.Unmarshal([]byte(files[name]), &manifest); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		maps.Copy(list, manifest.Dependencies)
	}
	for _, m := range regexp.MustCompile(`(?m)^(aws-sam-cli)==(\S+)$`).FindAllStringSubmatch(files["tools/verify/python/requirements.txt"], -1) {
		list[m[1]] = m[2]
	}
	return list
}
