package secret_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

const canary = "sk_orga_ai_test_canary_0123456789"

// holder has a secret in an unexported field, whose methods fmt does not call.
type holder struct {
	value  secret.Value
	secret secret.Secret
	deep   map[string][]any
	err    error
}

// encodings are ways for a value to get into output by accident.
var encodings = map[string]func(any) string{
	"%v":  func(v any) string { return fmt.Sprintf("%v", v) },
	"%+v": func(v any) string { return fmt.Sprintf("%+v", v) },
	"%#v": func(v any) string { return fmt.Sprintf("%#v", v) },
	"%s":  func(v any) string { return fmt.Sprintf("%s", v) },
	"%q":  func(v any) string { return fmt.Sprintf("%q", v) },
	"%x":  func(v any) string { return fmt.Sprintf("%x", v) },
	"%d":  func(v any) string { return fmt.Sprintf("%d", v) },
	"JSON": func(v any) string {
		b, err := json.Marshal(v)
		return fmt.Sprint(string(b), err)
	},
	"XML": func(v any) string {
		b, err := xml.Marshal(v)
		return fmt.Sprint(string(b), err)
	},
	"gob": func(v any) string {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return fmt.Sprint(b.String(), err)
	},
	"slog text": func(v any) string {
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("line", "attr", v)
		return b.String()
	},
	"slog JSON": func(v any) string {
		var b bytes.Buffer
		slog.New(slog.NewJSONHandler(&b, nil)).Info("line", "attr", v, slog.Group("group", "attr", v))
		return b.String()
	},
	"a panic": func(v any) (s string) {
		defer func() { s = fmt.Sprint(recover()) }()
		panic(v)
	},
}

// silent fails the test if any output of v contains the canary.
func silent(t *testing.T, what string, v any) {
	t.Helper()
	for name, encode := range encodings {
		if how := secrettest.Leak(encode(v), canary); how != "" {
			t.Errorf("fault 17: %s as %s holds the key in %s", what, name, how)
		}
	}
}

func TestValue(t *testing.T) {
	v := secret.NewValue(canary)
	if v.Reveal() != canary {
		t.Error("Reveal is not what was put in")
	}
	if (secret.Value{}).Reveal() != "" {
		t.Error("the zero Value is not empty")
	}
	for _, name := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := encodings[name](v); got != "[redacted]" {
			t.Errorf("%s shows %s", name, got)
		}
	}
	if b, err := json.Marshal(secret.Secret{Value: v, Version: "v1"}); string(b) != `{"Value":"[redacted]","Version":"v1"}` {
		t.Errorf("as JSON a Secret is %s, %v", b, err)
	}
}

// A key passes through each kind of source, a cache and errors.
func TestCanary(t *testing.T) {
	broken := []string{ // contents that are refused
		canary + "\x00", canary + " " + canary, canary + "é",
		`{"apiKey":"` + canary + `"}`, `{"apiKey":["` + canary + `"]}`, `{"apiKey":"` + canary,
		`{"apiKey":"` + canary + `","apiKey":"` + canary + `"}`, "[\"" + canary + "\"]",
	}
	aws, google := &secrettest.AWS{}, &secrettest.Google{}
	awsServer, googleServer := httptest.NewServer(aws), httptest.NewServer(google)
	defer awsServer.Close()
	defer googleServer.Close()
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": canary, "AWS_SESSION_TOKEN": canary,
		"AWS_ENDPOINT_URL": awsServer.URL, "ORGA_GCPSM_ENDPOINT": googleServer.URL,
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	drivers := map[string]secret.Driver{"awssm": awssm.Open(lookup, true), "gcpsm": gcpsm.Open(lookup)}
	file := t.TempDir() + "/api-key"

	put := func(content string) {
		env["ORGA_API_KEY"] = content
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		aws.Put("orga", content)
		google.Put("projects/orga/secrets/api-key", []byte(content))
	}
	for _, setting := range []string{
		"env:ORGA_API_KEY", "file:" + file, "file:" + file + "#apiKey",
		"awssm:orga", "awssm:orga#apiKey", "gcpsm:projects/orga/secrets/api-key", "gcpsm:projects/orga/secrets/api-key#apiKey",
	} {
		t.Run(setting, func(t *testing.T) {
			src, err := secret.Open(setting, drivers, lookup, secretcache.CheckKey)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			cache := secretcache.New(src, secretcache.Options{Name: setting, TTL: time.Nanosecond, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			try := func(what string) {
				t.Helper()
				got, err := src.Fetch(t.Context())
				kept, keptErr := cache.Get(t.Context())
				_, forcedErr := cache.Refresh(t.Context(), kept.Version)
				_ = cache.Ready(t.Context()) // takes the lock: now the fetch has let go of what is printed next
				silent(t, what, holder{got.Value, kept, map[string][]any{"deep": {got, &kept, err, cache}}, errors.Join(err, keptErr, forcedErr)})
				for name, v := range map[string]any{
					"a Source": src, "a Cache": cache, "a Secret": got, "a pointer to one": &got, "a Value": got.Value,
					"an error": err, "the cache's error": keptErr, "Refresh's error": forcedErr, "a Version": got.Version,
				} {
					silent(t, what+": "+name, v)
				}
			}
			put(canary)
			try("a key")
			put(`{"apiKey":"` + canary + `"}`)
			try("a key in JSON")
			for _, content := range broken {
				if put(content); len(content) > 0 && content[len(content)-1] == 0 {
					delete(env, "ORGA_API_KEY") // no environment has such a value
				}
				try("a content that is refused")
			}
			put(canary)
			for _, fault := range []secrettest.Fault{secrettest.Denied, secrettest.Damaged} {
				aws.Fail(fault, 0)
				google.Fail(fault, 0)
				try("a store that fails")
			}
			aws.Fail(secrettest.Healthy, 0)
			google.Fail(secrettest.Healthy, 0)
			silent(t, "the log", log.String())
			if log.Len() == 0 {
				t.Error("nothing was logged")
			}
		})
	}
	silent(t, "the drivers", drivers)
}

func TestCanaryInAPanic(t *testing.T) {
	var log bytes.Buffer
	cache := secretcache.New(secret.SourceFunc(func(context.Context) (secret.Secret, error) {
		panic(fmt.Errorf("unexpected %s", canary))
	}), secretcache.Options{Name: "awssm:orga", Log: slog.New(slog.NewJSONHandler(&log, nil))})
	_, err := cache.Get(t.Context())
	silent(t, "the error", err)
	silent(t, "the log", log.String())
}

// A key instead of a setting is a common mistake.
func TestCanaryInASetting(t *testing.T) {
	for _, setting := range []string{canary, canary + ":", "file:", "gcpsm:" + canary, "file:" + canary, ":" + canary, canary + ":x#", "vault:" + canary, "env:" + canary, "awssm:" + canary} {
		_, err := secret.Open(setting, map[string]secret.Driver{"gcpsm": gcpsm.Open(os.LookupEnv)}, os.LookupEnv, secretcache.CheckKey)
		if !errors.Is(err, secret.ErrMisconfigured) {
			t.Errorf("%s: the error is %v", setting, err)
		}
		silent(t, "the error", err)
	}
}

func ExampleValue() {
	key := secret.NewValue("sk_orga_ai_test")
	settings := struct {
		User string
		Key  secret.Value
	}{"orga", key}
	fmt.Printf("%v %+v\n", key, settings)
	text, _ := json.Marshal(settings)
	fmt.Println(string(text))

	req, _ := http.NewRequest(http.MethodPost, "https://api.orga-ai.com", nil)
	req.Header.Set("Authorization", "Bearer "+key.Reveal()) // the one place that needs it
	// Output:
	// [redacted] {User:orga Key:[redacted]}
	// {"User":"orga","Key":"[redacted]"}
}
