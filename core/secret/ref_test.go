package secret_test

import (
	"errors"
	"testing"

	"github.com/orga-session/orga-session/core/secret"
)

func TestParseRef(t *testing.T) {
	for _, tt := range []struct {
		setting string
		want    secret.Ref // the zero Ref where it is refused
	}{
		{"env:ORGA_API_KEY", secret.Ref{Scheme: "env", Name: "ORGA_API_KEY"}},
		{"env:NAME#x", secret.Ref{Scheme: "env", Name: "NAME#x"}},
		{"file:/etc/orga/api-key", secret.Ref{Scheme: "file", Name: "/etc/orga/api-key"}},
		{"file:/etc/orga/keys.json#apiKey", secret.Ref{Scheme: "file", Name: "/etc/orga/keys.json", Field: "apiKey"}},
		{"awssm:orga/key", secret.Ref{Scheme: "awssm", Name: "orga/key"}},
		{"awssm:arn:aws:secretsmanager:eu-central-1:123456789012:secret:orga-A1b2C3#apiKey", secret.Ref{Scheme: "awssm", Name: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orga-A1b2C3", Field: "apiKey"}},
		{"gcpsm:projects/p/secrets/s/versions/7", secret.Ref{Scheme: "gcpsm", Name: "projects/p/secrets/s/versions/7"}},
		{"", secret.Ref{}},
		{"ORGA_API_KEY", secret.Ref{}},
		{"env:", secret.Ref{}},
		{"awssm:#apiKey", secret.Ref{}},
		{"awssm:orga#", secret.Ref{}},
		{"env:sk_orga_ai_test", secret.Ref{}}, // a key, though it could be a name
	} {
		got, err := secret.ParseRef(tt.setting)
		if got != tt.want || (tt.want == secret.Ref{}) != errors.Is(err, secret.ErrMisconfigured) {
			t.Errorf("%s: %#v, %v", tt.setting, got, err)
		}
	}
}
