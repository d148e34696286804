package secret_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/secret"
)

func TestOpen(t *testing.T) {
	never := errors.New("wrong settings of the driver's")
	drivers := map[string]secret.Driver{
		"one": func(ref secret.Ref) (secret.Source, error) { return secret.Env(ref.Name, os.LookupEnv), nil },
		"bad": func(secret.Ref) (secret.Source, error) { return nil, never },
	}
	for _, tt := range []struct{ setting, says string }{
		{"env:ORGA_API_KEY", ""},
		{"file:/nowhere", ""},
		{"one:x", ""},
		{"file:relative", "absolute path"},
		{"bad:x", never.Error()},
		{"two:x", "bad:, one:, env:, file:"},
		{"x", "want SCHEME:NAME"},
	} {
		src, err := secret.Open(tt.setting, drivers, os.LookupEnv, secretcache.CheckKey)
		if tt.says == "" {
			if src == nil || err != nil {
				t.Errorf("%s: %v", tt.setting, err)
			}
			continue
		}
		if src != nil || err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: the error is %v", tt.setting, err)
		}
	}
}
