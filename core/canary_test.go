package core_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret"
)

const canary = orga.KeyPrefix + "canary-5f1d2c3b4a"

// forms returns the forms in which a text could leak: raw, escaped, in hex, and in base64 at each of the three possible
// offsets within a longer text.
func forms(text string) []string {
	list := []string{text, url.QueryEscape(text), hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text)))}
	for offset := range 3 {
		inner := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + text))
		inner = inner[4 : len(inner)-4] // the characters that depend only on text
		list = append(list, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	return list
}

// Fault 17: the key is in no log line, error, answer or header, even with ORGA_DEBUG, whatever fails.
func TestCanary(t *testing.T) {
	good := func(context.Context) (secret.Secret, error) {
		return secret.Secret{Value: secret.NewValue(canary), Version: "1"}, nil
	}
	for _, tt := range []struct {
		name    string
		key     string // in the environment; "" for the store
		fetch   secret.SourceFunc
		breakIt func(api *orgatest.Server)
		status  int
	}{
		{name: "success", key: canary, status: 200},
		{name: "success from a store", fetch: good, status: 200},
		{name: "refused by Orga, who repeats it", fetch: good, status: 502,
			breakIt: func(api *orgatest.Server) { api.FailAll(orga.CallMint, orgatest.Repeat(401)) }},
		{name: "Orga down, and repeats it", key: canary, status: 502,
			breakIt: func(api *orgatest.Server) { api.FailAll(orga.CallMint, orgatest.Repeat(500)) }},
		{name: "an answer that is not HTTP and repeats it", key: canary, status: 502,
			breakIt: func(api *orgatest.Server) { api.FailAll(orga.CallMint, orgatest.Babble()) }},
		{name: "a redirect", key: canary, status: 502,
			breakIt: func(api *orgatest.Server) {
				api.FailAll(orga.CallMint, orgatest.Redirect("http://127.0.0.1:1/?key="+canary))
			}},
		{name: "a store that fails and repeats it", status: 503,
			fetch: func(context.Context) (secret.Secret, error) { panic(canary) }},
		{name: "malformed, from a store", status: 503,
			fetch: func(context.Context) (secret.Secret, error) {
				return secret.Secret{Value: secret.NewValue(canary + "\n" + canary), Version: "1"}, nil
			}},
		{name: "malformed, from the environment", key: canary + "\x00" + canary, status: 500},
		{name: "in place of a source", key: canary, status: 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := env{"ORGA_DEBUG": "true", "ORGA_API_KEY": tt.key, "ORGA_TIMEOUT": "2s"}
			if tt.fetch != nil {
				set["ORGA_API_KEY_SOURCE"] = "store:key"
			}
			if tt.name == "in place of a source" {
				set["ORGA_API_KEY_SOURCE"] = canary
			}
			d := deploy(t, set, map[string]secret.Driver{"store": func(secret.Ref) (secret.Source, error) { return tt.fetch, nil }})
			if tt.breakIt != nil {
				tt.breakIt(d.orga)
			}
			var out strings.Builder
			for _, path := range []string{mintPath, mintPath, "/readyz", "/healthz"} {
				a := d.ask("GET", path)
				fmt.Fprintln(&out, a.Header, a.body)
				if path == mintPath && a.StatusCode != tt.status {
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
			}
			fmt.Fprintln(&out, d.log, d.fault)
			for _, form := range forms(canary) {
				if i := strings.Index(out.String(), form); i >= 0 {
					t.Errorf("the key shows (%d characters before the end)", out.Len()-i)
				}
			}
			if !strings.Contains(d.log.String(), `"msg":"request"`) {
				t.Error("nothing was logged: the search proves nothing")
			}
		})
	}
}
