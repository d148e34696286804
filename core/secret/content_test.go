package secret_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/secret"
)

// decoded returns the secret of a source whose store has this content.
func decoded(t *testing.T, field, content string, check func(string) error) (string, error) {
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
	src, err := secret.Open(setting, map[string]secret.Driver{"store": driver}, nil, check)
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
		check   func(string) error
		field   string
		content string
		want    string
		refused string // what the error says; "" where want is handed out
	}{
		{"fault 12: a key", secretcache.CheckKey, "", key, key, ""},
		{"fault 12: all of printable ASCII", secretcache.CheckKey, "", "!" + key + "~", "!" + key + "~", ""},
		{"fault 12: a trailing newline", secretcache.CheckKey, "", key + "\r\n", key, ""},
		{"fault 12: a byte order mark", secretcache.CheckKey, "", "\ufeff" + key, key, ""},
		{"fault 12: both, and blanks", secretcache.CheckKey, "", "\ufeff \t" + key + " \n\n", key, ""},
		{"fault 12: 4 KiB", secretcache.CheckKey, "", strings.Repeat("x", 4<<10), strings.Repeat("x", 4<<10), ""},
		{"fault 12: empty", secretcache.CheckKey, "", "", "", "empty"},
		{"fault 12: blank", secretcache.CheckKey, "", "\ufeff \n", "", "empty"},
		{"fault 12: more than 4 KiB", secretcache.CheckKey, "", strings.Repeat("x", 4<<10+1), "", "4 KiB"},
		{"fault 12: a line break inside", secretcache.CheckKey, "", key + "\n" + key, "", "control character"},
		{"fault 12: a NUL inside", secretcache.CheckKey, "", key + "\x00" + key, "", "control character"},
		{"fault 12: a DEL at the end", secretcache.CheckKey, "", key + "\x7f", "", "control character"},
		{"fault 12: a blank inside", secretcache.CheckKey, "", key + " " + key, "", "space"},
		{"fault 12: not ASCII", secretcache.CheckKey, "", key + "é", "", "outside of ASCII"},
		{"fault 12: UTF-16", secretcache.CheckKey, "", "\xff\xfes\x00k\x00", "", "outside of ASCII"},

		{"fault 13: JSON, and no field asked for", secretcache.CheckKey, "", `{"apiKey":"x"}`, "", "name the member"},
		{"fault 13: a member of JSON", secretcache.CheckKey, "apiKey", `{"user":1,"apiKey":"sk_orga_ai_test\n"}`, key, ""},
		{"fault 13: a member with escapes in its name", secretcache.CheckKey, "apiKey", `{"\u0061piKey":"x"}`, "x", ""},
		{"fault 13: JSON with a byte order mark and blanks", secretcache.CheckKey, "apiKey", "\ufeff {\"apiKey\" : \"x\"} \n", "x", ""},
		{"fault 13: plain, and a field asked for", secretcache.CheckKey, "apiKey", key, "", "want a JSON object with a member \"apiKey\""},
		{"fault 13: a JSON string", secretcache.CheckKey, "apiKey", `"x"`, "", "want a JSON object with a member \"apiKey\""},
		{"fault 13: a JSON list", secretcache.CheckKey, "apiKey", `[{"apiKey":"x"}]`, "", "want a JSON object with a member \"apiKey\""},
		{"fault 11: the field is not there", secretcache.CheckKey, "apiKey", `{"apikey":"x"}`, "", `no member "apiKey"`},
		{"fault 11: the field is empty", secretcache.CheckKey, "apiKey", `{"apiKey":""}`, "", "empty"},
		{"fault 13: a number", secretcache.CheckKey, "apiKey", `{"apiKey":1}`, "", "must be a string"},
		{"fault 13: null", secretcache.CheckKey, "apiKey", `{"apiKey":null}`, "", "must be a string"},
		{"fault 13: an object", secretcache.CheckKey, "apiKey", `{"apiKey":{"apiKey":"x"}}`, "", "must be a string"},
		{"fault 13: a duplicate field", secretcache.CheckKey, "apiKey", `{"apiKey":"x","apiKey":"y"}`, "", "duplicate"},
		{"fault 13: a duplicate in other letters", secretcache.CheckKey, "apiKey", `{"apiKey":"x","\u0061piKey":"x"}`, "", "duplicate"},
		{"fault 13: another field that is a duplicate", secretcache.CheckKey, "apiKey", `{"apiKey":"x","user":1,"user":2}`, "", "duplicate"},
		{"fault 13: half of JSON", secretcache.CheckKey, "apiKey", `{"apiKey":"x"`, "", "invalid JSON"},
		{"fault 13: JSON and more", secretcache.CheckKey, "apiKey", `{"apiKey":"x"}{}`, "", "invalid JSON"},
		{"fault 13: JSON and a brace more", secretcache.CheckKey, "apiKey", `{"apiKey":"x"}}`, "", "invalid JSON"},

		{"a document", nil, "", "\ufeff{\n \"tenants\": {}\n}\n", "{\n \"tenants\": {}\n}", ""},
		{"two lines", nil, "", "one\ntwo\n", "one\ntwo", ""},
		{"an empty document", nil, "", " \n", "", "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decoded(t, tt.field, tt.content, tt.check)
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

// Invalid content of the environment or of a file is a fault of the settings.
func TestDecodeOfLocalSources(t *testing.T) {
	lookup := func(name string) (string, bool) { return "two words", name == "ORGA_API_KEY" }
	for _, setting := range []string{"env:ORGA_API_KEY", "file:" + file(t, "two words")} {
		src, err := secret.Open(setting, nil, lookup, secretcache.CheckKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Fetch(t.Context()); !errors.Is(err, secret.ErrMisconfigured) || !errors.Is(err, secret.ErrMalformed) {
			t.Errorf("%s: the error is %v", setting, err)
		}
	}
}

// FuzzDecode checks two rules: a secret is valid in a header, and no error repeats the content.
func FuzzDecode(f *testing.F) {
	f.Add(`{"apiKey":"sk_orga_ai_test"}`)
	f.Add("\ufeff{\"apiKey\":\"\\u0073k\",\"other\":[{}]}")
	f.Add(`{"apiKey":"x","apiKey":"y"}`)
	f.Fuzz(func(t *testing.T, content string) {
		for _, field := range []string{"", "apiKey"} {
			got, err := decoded(t, field, content, secretcache.CheckKey)
			switch {
			case err != nil && got != "":
				t.Error("an error came with a secret")
			case err != nil && !errors.Is(err, secret.ErrMalformed):
				t.Errorf("the error is %v", err)
			case err == nil && (got == "" || len(got) > 4<<10 || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' })):
				t.Errorf("%q is not a key", got)
			}
		}
	})
}
