package secret_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/secret"
)

// decoded is what a source hands out whose store holds content.
func decoded(t *testing.T, field, content string, decode secret.Decoder) (string, error) {
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
	src, err := secret.Drivers{"store": driver}.Open(setting, nil, decode)
	if err != nil {
		t.Fatal(err)
	}
	got, err := src.Fetch(t.Context())
	if err == nil && got.Version != "v1" {
		t.Errorf("the version is %q", got.Version)
	}
	return got.Value.Reveal(), err
}

func TestDecode(t *testing.T) {
	const key = "sk_orga_ai_test"
	for _, tt := range []struct {
		name    string
		decode  secret.Decoder
		field   string
		content string
		want    string
		refused string // what the error says; "" where want is handed out
	}{
		{"fault 12: a key", secret.DecodeKey, "", key, key, ""},
		{"fault 12: a trailing newline", secret.DecodeKey, "", key + "\r\n", key, ""},
		{"fault 12: a byte order mark", secret.DecodeKey, "", "\ufeff" + key, key, ""},
		{"fault 12: both, and blanks", secret.DecodeKey, "", "\ufeff \t" + key + " \n\n", key, ""},
		{"fault 12: 4 KiB", secret.DecodeKey, "", strings.Repeat("x", 4<<10), strings.Repeat("x", 4<<10), ""},
		{"fault 12: empty", secret.DecodeKey, "", "", "", "empty"},
		{"fault 12: blank", secret.DecodeKey, "", "\ufeff \n", "", "empty"},
		{"fault 12: more than 4 KiB", secret.DecodeKey, "", strings.Repeat("x", 4<<10+1), "", "4 KiB"},
		{"fault 12: a line break inside", secret.DecodeKey, "", key + "\n" + key, "", "control character"},
		{"fault 12: a NUL inside", secret.DecodeKey, "", key + "\x00" + key, "", "control character"},
		{"fault 12: a DEL at the end", secret.DecodeKey, "", key + "\x7f", "", "control character"},
		{"fault 12: a blank inside", secret.DecodeKey, "", key + " " + key, "", "space"},
		{"fault 12: not ASCII", secret.DecodeKey, "", key + "é", "", "outside of ASCII"},
		{"fault 12: UTF-16", secret.DecodeKey, "", "\xff\xfes\x00k\x00", "", "outside of ASCII"},

		{"fault 13: JSON, and no field asked for", secret.DecodeKey, "", `{"apiKey":"x"}`, "", "name the member"},
		{"fault 13: a member of JSON", secret.DecodeKey, "apiKey", `{"user":1,"apiKey":"sk_orga_ai_test\n"}`, key, ""},
		{"fault 13: a member with escapes in its name", secret.DecodeKey, "apiKey", `{"\u0061piKey":"x"}`, "x", ""},
		{"fault 13: JSON with a byte order mark and blanks", secret.DecodeKey, "apiKey", "\ufeff {\"apiKey\" : \"x\"} \n", "x", ""},
		{"fault 13: plain, and a field asked for", secret.DecodeKey, "apiKey", key, "", "want a JSON object with a member \"apiKey\""},
		{"fault 13: a JSON string", secret.DecodeKey, "apiKey", `"x"`, "", "want a JSON object with a member \"apiKey\""},
		{"fault 13: a JSON list", secret.DecodeKey, "apiKey", `[{"apiKey":"x"}]`, "", "want a JSON object with a member \"apiKey\""},
		{"fault 11: the field is not there", secret.DecodeKey, "apiKey", `{"apikey":"x"}`, "", `no member "apiKey"`},
		{"fault 11: the field is empty", secret.DecodeKey, "apiKey", `{"apiKey":""}`, "", "empty"},
		{"fault 13: a number", secret.DecodeKey, "apiKey", `{"apiKey":1}`, "", "must be a string"},
		{"fault 13: null", secret.DecodeKey, "apiKey", `{"apiKey":null}`, "", "must be a string"},
		{"fault 13: an object", secret.DecodeKey, "apiKey", `{"apiKey":{"apiKey":"x"}}`, "", "must be a string"},
		{"fault 13: a duplicate field", secret.DecodeKey, "apiKey", `{"apiKey":"x","apiKey":"y"}`, "", "duplicate"},
		{"fault 13: a duplicate in other letters", secret.DecodeKey, "apiKey", `{"apiKey":"x","\u0061piKey":"x"}`, "", "duplicate"},
		{"fault 13: another field that is a duplicate", secret.DecodeKey, "apiKey", `{"apiKey":"x","user":1,"user":2}`, "", "duplicate"},
		{"fault 13: half of JSON", secret.DecodeKey, "apiKey", `{"apiKey":"x"`, "", "invalid JSON"},
		{"fault 13: JSON and more", secret.DecodeKey, "apiKey", `{"apiKey":"x"}{}`, "", "invalid JSON"},
		{"fault 13: JSON and a brace more", secret.DecodeKey, "apiKey", `{"apiKey":"x"}}`, "", "invalid JSON"},

		{"a document", secret.DecodeText, "", "\ufeff{\n \"tenants\": {}\n}\n", "{\n \"tenants\": {}\n}", ""},
		{"two lines", secret.DecodeText, "", "one\ntwo\n", "one\ntwo", ""},
		{"an empty document", secret.DecodeText, "", " \n", "", "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decoded(t, tt.field, tt.content, tt.decode)
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
func TestDecodeOfLocalSources(t *testing.T) {
	lookup := func(name string) (string, bool) { return "two words", name == "ORGA_API_KEY" }
	for _, setting := range []string{"env:ORGA_API_KEY", "file:" + file(t, "two words")} {
		src, err := secret.Drivers{}.Open(setting, lookup, secret.DecodeKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Fetch(t.Context()); !errors.Is(err, secret.ErrMisconfigured) || !errors.Is(err, secret.ErrMalformed) {
			t.Errorf("%s: the error is %v", setting, err)
		}
	}
}

// FuzzDecode holds JSON to two rules: what is handed out could be a header, and no error repeats the
// content.
func FuzzDecode(f *testing.F) {
	f.Add(`{"apiKey":"sk_orga_ai_test"}`)
	f.Add("\ufeff{\"apiKey\":\"\\u0073k\",\"other\":[{}]}")
	f.Add(`{"apiKey":"x","apiKey":"y"}`)
	f.Fuzz(func(t *testing.T, content string) {
		for _, field := range []string{"", "apiKey"} {
			got, err := decoded(t, field, content, secret.DecodeKey)
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
