package secret_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/secret"
)

// shaped is what a source hands out whose store holds content.
func shaped(t *testing.T, field, content string, shape secret.Shape) (string, error) {
	t.Helper()
	driver := func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			return secret.Secret{Value: secret.NewValue(content), Version: "v1"}, nil
		}), nil
	}
	setting := "store:x"
	if field != "" {
		setting += "#" + field
	}
	src, err := secret.Drivers{"store": driver}.Open(setting, nil, shape)
	if err != nil {
		t.Fatal(err)
	}
	got, err := src.Fetch(t.Context())
	if err == nil && got.Version != "v1" {
		t.Errorf("the version is %q", got.Version)
	}
	return got.Value.Reveal(), err
}

func TestShape(t *testing.T) {
	const key = "sk_orga_ai_test"
	for _, tt := range []struct {
		name    string
		shape   secret.Shape
		field   string
		content string
		want    string
		refused string // what the error says; "" where want is handed out
	}{
		{"fault 12: a key", secret.Key, "", key, key, ""},
		{"fault 12: a trailing newline", secret.Key, "", key + "\r\n", key, ""},
		{"fault 12: a byte order mark", secret.Key, "", "\ufeff" + key, key, ""},
		{"fault 12: both, and blanks", secret.Key, "", "\ufeff \t" + key + " \n\n", key, ""},
		{"fault 12: 4 KiB", secret.Key, "", strings.Repeat("x", 4<<10), strings.Repeat("x", 4<<10), ""},
		{"fault 12: empty", secret.Key, "", "", "", "empty"},
		{"fault 12: blank", secret.Key, "", "\ufeff \n", "", "empty"},
		{"fault 12: more than 4 KiB", secret.Key, "", strings.Repeat("x", 4<<10+1), "", "4 KiB"},
		{"fault 12: a line break inside", secret.Key, "", key + "\n" + key, "", "control character"},
		{"fault 12: a NUL inside", secret.Key, "", key + "\x00" + key, "", "control character"},
		{"fault 12: a DEL at the end", secret.Key, "", key + "\x7f", "", "control character"},
		{"fault 12: a blank inside", secret.Key, "", key + " " + key, "", "blank"},
		{"fault 12: not ASCII", secret.Key, "", key + "é", "", "outside of ASCII"},
		{"fault 12: UTF-16", secret.Key, "", "\xff\xfes\x00k\x00", "", "outside of ASCII"},

		{"fault 13: JSON, and no field asked for", secret.Key, "", `{"apiKey":"x"}`, "", "name the member"},
		{"fault 13: a member of JSON", secret.Key, "apiKey", `{"user":1,"apiKey":"sk_orga_ai_test\n"}`, key, ""},
		{"fault 13: a member with escapes in its name", secret.Key, "apiKey", `{"\u0061piKey":"x"}`, "x", ""},
		{"fault 13: JSON with a byte order mark and blanks", secret.Key, "apiKey", "\ufeff {\"apiKey\" : \"x\"} \n", "x", ""},
		{"fault 13: plain, and a field asked for", secret.Key, "apiKey", key, "", "no JSON object"},
		{"fault 13: a JSON string", secret.Key, "apiKey", `"x"`, "", "no JSON object"},
		{"fault 13: a JSON list", secret.Key, "apiKey", `[{"apiKey":"x"}]`, "", "no JSON object"},
		{"fault 11: the field is not there", secret.Key, "apiKey", `{"apikey":"x"}`, "", `no member "apiKey"`},
		{"fault 11: the field is empty", secret.Key, "apiKey", `{"apiKey":""}`, "", "empty"},
		{"fault 13: a number", secret.Key, "apiKey", `{"apiKey":1}`, "", "no string"},
		{"fault 13: null", secret.Key, "apiKey", `{"apiKey":null}`, "", "no string"},
		{"fault 13: an object", secret.Key, "apiKey", `{"apiKey":{"apiKey":"x"}}`, "", "no string"},
		{"fault 13: a duplicate field", secret.Key, "apiKey", `{"apiKey":"x","apiKey":"y"}`, "", "twice"},
		{"fault 13: a duplicate in other letters", secret.Key, "apiKey", `{"apiKey":"x","\u0061piKey":"x"}`, "", "twice"},
		{"fault 13: another field that is a duplicate", secret.Key, "apiKey", `{"apiKey":"x","user":1,"user":2}`, "", "twice"},
		{"fault 13: half of JSON", secret.Key, "apiKey", `{"apiKey":"x"`, "", "does not parse"},
		{"fault 13: JSON and more", secret.Key, "apiKey", `{"apiKey":"x"}{}`, "", "does not parse"},
		{"fault 13: JSON and a brace more", secret.Key, "apiKey", `{"apiKey":"x"}}`, "", "does not parse"},

		{"a document", secret.Text, "", "\ufeff{\n \"tenants\": {}\n}\n", "{\n \"tenants\": {}\n}", ""},
		{"two lines", secret.Text, "", "one\ntwo\n", "one\ntwo", ""},
		{"an empty document", secret.Text, "", " \n", "", "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := shaped(t, tt.field, tt.content, tt.shape)
			if tt.refused == "" {
				if got != tt.want || err != nil {
					t.Errorf("got %q, %v; want %q", got, err, tt.want)
				}
				return
			}
			if got != "" || !errors.Is(err, secret.ErrMalformed) || errors.Is(err, secret.ErrMisconfigured) || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("got %q, %v; want ErrMalformed that says %q", got, err, tt.refused)
			}
		})
	}
}

// What stands in the environment or in a file, only the owner can mend.
func TestShapeOfLocalSources(t *testing.T) {
	lookup := func(name string) (string, bool) { return "two words", name == "ORGA_API_KEY" }
	for _, setting := range []string{"env:ORGA_API_KEY", "file:" + file(t, "two words")} {
		src, err := secret.Drivers{}.Open(setting, lookup, secret.Key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Fetch(t.Context()); !errors.Is(err, secret.ErrMisconfigured) || !errors.Is(err, secret.ErrMalformed) {
			t.Errorf("%s: the error is %v", setting, err)
		}
	}
}

// FuzzShape holds JSON to two rules: what is handed out could be a header, and no error repeats the
// content.
func FuzzShape(f *testing.F) {
	f.Add(`{"apiKey":"sk_orga_ai_test"}`)
	f.Add("\ufeff{\"apiKey\":\"\\u0073k\",\"other\":[{}]}")
	f.Add(`{"apiKey":"x","apiKey":"y"}`)
	f.Fuzz(func(t *testing.T, content string) {
		for _, field := range []string{"", "apiKey"} {
			got, err := shaped(t, field, content, secret.Key)
			switch {
			case err != nil && got != "":
				t.Error("an error came with a secret")
			case err != nil && !errors.Is(err, secret.ErrMalformed):
				t.Errorf("the error is %v", err)
			case err == nil && (got == "" || len(got) > 4<<10 || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' })):
				t.Errorf("%q is no key", got)
			}
		}
	})
}
