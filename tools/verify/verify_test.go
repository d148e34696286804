package main

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	const text = `gcloud is a tool; this line is prose.

    gcloud auth login
    gcloud secrets create x \
      --data-file=- < key
    DO=1 gcloud no
` + "\tgcloud a b | grep c\n```\ngcloud fenced\n```\n+ gcloud printed '--format=value(x)'\n"
	want := []string{"gcloud auth login", "gcloud secrets create x --data-file=-", "gcloud a b", "gcloud fenced", "gcloud printed '--format=value(x)'"}
	if got := commands(text, "gcloud "); !slices.Equal(got, want) {
		t.Errorf("commands are %q, not %q", got, want)
	}
}

func TestGrants(t *testing.T) {
	for _, tt := range []struct {
		name, statement string
		want            []grant // nil for an error
	}{
		{"one action, one ARN", `{"Effect":"Allow","Action":"s:Get","Resource":"arn:x"}`, []grant{{"kms:Decrypt", "*"}, {"s:Get", "arn:x"}}},
		{"a wildcard is seen", `[{"Effect":"Allow","Action":["s:Get*"],"Resource":["*"]}]`, []grant{{"kms:Decrypt", "*"}, {"s:Get*", "*"}}},
		{"what cannot be listed is refused", `{"Effect":"Allow","NotAction":"s:Put","Resource":"*"}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := grants(map[string]resource{
				"Role":   {"AWS::IAM::Role", []byte(`{"Policies":[{"PolicyDocument":{"Statement":` + tt.statement + `}}]}`)},
				"Policy": {"AWS::IAM::Policy", []byte(`{"PolicyDocument":{"Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}}}`)},
			})
			if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
				t.Errorf("grants are %v (%v), not %v", got, err, tt.want)
			}
		})
	}
	managed := map[string]resource{"Role": {"AWS::IAM::Role", []byte(`{"ManagedPolicyArns":["arn:aws:iam::aws:policy/AdministratorAccess"]}`)}}
	if _, err := grants(managed); err == nil {
		t.Error("a managed policy is accepted")
	}
}

// Each violation of the contract, and each difference from the reference, is detected.
func TestAnswersAreHeld(t *testing.T) {
	good := answer{status: 200, body: `{"ephemeralToken":"…"}`, header: map[string]string{
		"Cache-Control": "no-store", "CDN-Cache-Control": "no-store", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff", "Vary": "Origin", "X-Request-Id": "…",
	}}
	with := func(name, value string) answer {
		a := answer{good.status, maps.Clone(good.header), good.body}
		a.header[name] = value
		return a
	}
	req, err := http.NewRequest(http.MethodGet, "http://x"+mintPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"ephemeralToken":"x","iceServers":[{"urls":"stun:x"}]}`
	for _, tt := range []struct {
		name string
		got  answer
		body string
		row  row
		ok   bool
	}{
		{"as contractHeaders", good, body, row{status: 200}, true},
		{"another status", good, body, row{status: 201}, false},
		{"no code", good, body, row{status: 200, code: "timeout"}, false},
		{"no session config", good, `{"ephemeralToken":"x"}`, row{status: 200}, false},
		{"it may be cached", with("Cache-Control", ""), body, row{status: 200}, false},
		{"Vary doubled", with("Vary", "Origin | Origin"), body, row{status: 200}, false},
		{"no request id", with("X-Request-Id", ""), body, row{status: 200}, false},
	} {
		if err := tt.row.check(req, tt.got, []byte(tt.body)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for name, other := range map[string]answer{
		"a header more":  with("Access-Control-Allow-Origin", "*"),
		"another header": with("Pragma", ""),
		"another status": {status: 201, header: good.header, body: good.body},
		"another body":   {status: 200, header: good.header, body: "{}"},
	} {
		if diff(good, other) == nil {
			t.Errorf("%s is not seen", name)
		}
	}
	if diff(good, with("Pragma", "no-cache")) != nil {
		t.Error("two that are alike differ")
	}
	if a, b := normalize(`{"ephemeralToken":"a","expiresIn":119,"detail":"Retry in 1 second."}`), normalize(`{"ephemeralToken":"b","expiresIn":120,"detail":"Retry in 7 seconds."}`); a != b {
		t.Errorf("%s and %s differ", a, b)
	}
}

func TestTableFails(t *testing.T) {
	tab := newTable([]string{"one", "two"}, []string{"a check"})
	tab.check("one", "a check", "first", func() error { return errors.New("broken") })
	tab.check("one", "a check", "second", func() error { return nil })
	tab.check("two", "a check", "first", func() error { return nil })
	var out strings.Builder
	tab.print(io.Writer(&out))
	if tab.passed() || !strings.Contains(out.String(), "FAIL  one: a check: first: broken") || !strings.Contains(out.String(), "a check  FAIL  ok") {
		t.Errorf("a check that failed is lost:\n%s", out.String())
	}
}

func TestSizesAreDocumented(t *testing.T) {
	tab := newTable(nil, nil)
	tab.size("AWS: zipped", 4_000_000)
	for text, ok := range map[string]bool{
		"| AWS: zipped | 4.10 MB |": true, "| AWS: zipped | 4.30 MB |": false, "| AWS: other | 4.00 MB |": false,
	} {
		if err := tab.documented(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
