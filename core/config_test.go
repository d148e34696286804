package core_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// All faults are reported together, by setting and without values.
func TestFaults(t *testing.T) {
	const value = "s3cr3t-value"
	for _, tt := range []struct {
		name  string
		set   env
		fault string // "" for none
	}{
		{"a working minimum", nil, ""},
		{"set to nothing is not set", env{"ORGA_TIMEOUT": "", "ORGA_RATE_LIMIT": " ", "ORGA_DEBUG": ""}, ""},
		{"no auth", env{"ORGA_AUTH": ""}, "ORGA_AUTH"},
		{"unknown auth", env{"ORGA_AUTH": "jwt"}, `ORGA_AUTH: unknown method "jwt": use oidc, hmac, gateway or anonymous`},
		{"key in place of auth", env{"ORGA_AUTH": "sk_orga_ai_" + value}, "ORGA_AUTH: unknown method: use"},
		{"anonymous with another", env{"ORGA_AUTH": "gateway,anonymous"}, "ORGA_AUTH"},
		{"oidc without an issuer", env{"ORGA_AUTH": "oidc", "ORGA_AUTH_AUDIENCE": value}, "ORGA_AUTH_ISSUER"},
		{"oidc without an audience", env{"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": "https://issuer.example/" + value}, "ORGA_AUTH_AUDIENCE"},
		{"oidc over http", env{"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": "http://issuer.example/" + value, "ORGA_AUTH_AUDIENCE": "a"}, "ORGA_AUTH_ISSUER"},
		{"oidc on loopback", env{"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": "http://127.0.0.1:1", "ORGA_AUTH_AUDIENCE": "a"}, ""},
		{"hmac without a key", env{"ORGA_AUTH": "hmac"}, "ORGA_AUTH_HMAC_KEY_SOURCE"},
		{"hmac with an unknown source", env{"ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": value}, "ORGA_AUTH_HMAC_KEY_SOURCE"},
		{"hmac with a key that is not set", env{"ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:NOBODY"}, "ORGA_AUTH_HMAC_KEY_SOURCE"},
		{"no key", env{"ORGA_API_KEY": ""}, "ORGA_API_KEY"},
		{"key with a line break inside", env{"ORGA_API_KEY": "sk_orga_ai_a\n" + value}, "ORGA_API_KEY"},
		{"key with another prefix is a warning", env{"ORGA_API_KEY": value}, ""},
		{"key with a line break behind", env{"ORGA_API_KEY": orgatest.Key + "\n"}, ""},
		{"key in place of a source", env{"ORGA_API_KEY_SOURCE": value}, "ORGA_API_KEY_SOURCE"},
		{"source that is not linked", env{"ORGA_API_KEY_SOURCE": "awssm:" + value}, "ORGA_API_KEY_SOURCE"},
		{"file by a relative path", env{"ORGA_API_KEY_SOURCE": "file:" + value}, "ORGA_API_KEY_SOURCE"},
		{"key in a file that is not there", env{"ORGA_API_KEY_SOURCE": "file:/nowhere/key"}, "ORGA_API_KEY_SOURCE: /nowhere/key"},
		{"hmac key in a file that is not there", env{"ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "file:/nowhere/key"}, "ORGA_AUTH_HMAC_KEY_SOURCE: /nowhere/key"},
		{"TTL without a unit", env{"ORGA_API_KEY_TTL": "300"}, "ORGA_API_KEY_TTL"},
		{"TTL of centuries", env{"ORGA_API_KEY_TTL": "2562047h"}, "ORGA_API_KEY_TTL: want at most a year"},
		{"TTL of a year and a second", env{"ORGA_API_KEY_TTL": "8760h1s"}, "ORGA_API_KEY_TTL: want at most a year"},
		{"TTL of a year", env{"ORGA_API_KEY_TTL": "8760h"}, ""},
		{"time of centuries", env{"ORGA_TIMEOUT": "2562047h"}, "ORGA_TIMEOUT: want at most a year"},
		{"no time", env{"ORGA_TIMEOUT": "0s"}, "ORGA_TIMEOUT"},
		{"time below zero", env{"ORGA_TIMEOUT": "-8s"}, "ORGA_TIMEOUT"},
		{"base URL over http", env{"ORGA_BASE_URL": "http://orga.example/" + value}, "ORGA_BASE_URL"},
		{"base URL with a password", env{"ORGA_BASE_URL": "https://u:" + value + "@orga.example"}, "ORGA_BASE_URL"},
		{"base URL with a query", env{"ORGA_BASE_URL": "https://orga.example/?" + value}, "ORGA_BASE_URL"},
		{"base URL of no host", env{"ORGA_BASE_URL": value}, "ORGA_BASE_URL"},
		{"base URL of a port alone", env{"ORGA_BASE_URL": "https://:443"}, "ORGA_BASE_URL"},
		{"base URL with a port too high", env{"ORGA_BASE_URL": "https://orga.example:99999"}, "ORGA_BASE_URL"},
		{"base URL with the port 0", env{"ORGA_BASE_URL": "https://orga.example:0"}, "ORGA_BASE_URL"},
		{"base URL on this machine", env{"ORGA_BASE_URL": "http://localhost:1"}, ""},
		{"user email", env{"ORGA_USER_EMAIL": value}, "ORGA_USER_EMAIL"},
		{"origin with a slash", env{"ORGA_CORS_ORIGINS": "https://" + value + "/"}, "ORGA_CORS_ORIGINS"},
		{"origin *", env{"ORGA_CORS_ORIGINS": "*"}, "ORGA_CORS_ORIGINS"},
		{"limit of nothing", env{"ORGA_RATE_LIMIT": "0/1m"}, "ORGA_RATE_LIMIT"},
		{"limit without a period", env{"ORGA_RATE_LIMIT": "30"}, "ORGA_RATE_LIMIT"},
		{"no limit", env{"ORGA_RATE_LIMIT": "off"}, ""},
		{"limit store", env{"ORGA_RATE_LIMIT_STORE": "mysql://" + value}, "ORGA_RATE_LIMIT_STORE"},
		{"limit store with a password", env{"ORGA_RATE_LIMIT_STORE": "redis://:" + value + "@127.0.0.1:port"}, "ORGA_RATE_LIMIT_STORE"},
		{"strictness", env{"ORGA_RATE_LIMIT_STRICT": value}, "ORGA_RATE_LIMIT_STRICT"},
		{"hops", env{"ORGA_TRUSTED_HOPS": "-1"}, "ORGA_TRUSTED_HOPS"},
		{"Google's IAM", env{"ORGA_GCP_IAM_REQUIRED": value}, "ORGA_GCP_IAM_REQUIRED"},
		{"debug", env{"ORGA_DEBUG": value}, "ORGA_DEBUG"},
		{"log level", env{"ORGA_LOG_LEVEL": "verbose"}, `ORGA_LOG_LEVEL: unknown level "verbose": use debug, info, warn or error`},
		{"tenants in a file that is not there", env{"ORGA_TENANTS_SOURCE": "file:/nowhere/tenants.json"}, "ORGA_TENANTS_SOURCE"},
		{"tenants' source", env{"ORGA_TENANTS_SOURCE": value}, "ORGA_TENANTS_SOURCE"},
		{"tenants that are not set", env{"ORGA_TENANTS_SOURCE": "env:NOBODY"}, "ORGA_TENANTS_SOURCE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := deploy(t, tt.set, nil)
			switch {
			case tt.fault == "" && d.fault != nil:
				t.Errorf("fault: %v", d.fault)
			case tt.fault != "" && (d.fault == nil || !strings.Contains(d.fault.Error(), tt.fault)):
				t.Errorf("%s is not named by: %v", tt.fault, d.fault)
			case tt.fault != "" && !strings.Contains(d.log.String(), strings.ReplaceAll(tt.fault, `"`, `\"`)):
				t.Errorf("%s is not in the log", tt.fault)
			}
			if strings.Contains(d.log.String(), value) || d.fault != nil && strings.Contains(d.fault.Error(), value) {
				t.Errorf("the value is printed: %v\n%s", d.fault, d.log)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	for _, tt := range []struct {
		set    env
		faults []string
	}{
		{
			env{"ORGA_AUTH": "", "ORGA_TIMEOUT": "x", "ORGA_RATE_LIMIT": "x", "ORGA_CORS_ORIGINS": "x", "ORGA_API_KEY": ""},
			[]string{"ORGA_AUTH", "ORGA_TIMEOUT", "ORGA_RATE_LIMIT", "ORGA_CORS_ORIGINS", "ORGA_API_KEY"},
		},
		{ // a faulty file is reported together with all other faults
			env{"ORGA_TIMEOUT": "x", "ORGA_API_KEY_SOURCE": "file:/nowhere/key", "ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "file:/nowhere/hmac"},
			[]string{"ORGA_TIMEOUT", "ORGA_API_KEY_SOURCE", "ORGA_AUTH_HMAC_KEY_SOURCE"},
		},
	} {
		d := deploy(t, tt.set, nil)
		for _, name := range tt.faults {
			if !strings.Contains(d.fault.Error(), name) {
				t.Errorf("%s is not among the faults: %v", name, d.fault)
			}
			if n := strings.Count(d.log.String(), `"fault":"`+name); n != 1 {
				t.Errorf("%s is logged %d times", name, n)
			}
		}
	}
}

// The zero Config refuses every mint.
func TestZeroConfigRefusesMints(t *testing.T) {
	h := core.New(t.Context(), core.Config{Log: slog.New(slog.DiscardHandler)}, core.Drivers{})
	if h.Faults() == nil {
		t.Error("no fault")
	}
	d := deployment{handler: h}
	if a := d.ask("GET", mintPath); a.StatusCode != 500 || a.json.Code != "misconfigured" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
