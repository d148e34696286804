package orga_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// fault 46: an answer that contains the permanent key in any of these forms is an error.
func TestKeyInAnswer(t *testing.T) {
	const key = orga.KeyPrefix + "canary>?~5f1d2c3b4a" // with characters for which the alphabets of base64 differ
	escaped := strings.NewReplacer("_", `\u005F`, "?", `\u003f`).Replace(key)
	forms := map[string]string{
		"raw": key, "inside": "x" + key + "y", "escaped": escaped,
		"hex": hex.EncodeToString([]byte(key)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(key))),
	}
	for before := range 3 {
		for after := range 3 {
			text := []byte("?\x7f?"[:before] + key + "\x7f?\x7f"[:after]) // all bits are set in one of them
			for name, encoding := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "raw base64": base64.RawStdEncoding,
				"base64url": base64.URLEncoding, "raw base64url": base64.RawURLEncoding} {
				form := encoding.EncodeToString(text)
				forms[fmt.Sprint(name, before, after)] = form
				forms[fmt.Sprint(name, before, after, " as PHP writes it")] = strings.ReplaceAll(form, "/", `\/`)
			}
		}
	}
	for name, form := range forms {
		for _, row := range []struct {
			call orga.Call
			body string
		}{
			{orga.CallMint, `{"ephemeral_token":"` + form + `"}`},
			{orga.CallMint, `{"ephemeral_token":"e30.` + form + `.sig"}`},
			{orga.CallMint, `{"ephemeral_token":"t","account":"` + form + `"}`},
			{orga.CallICE, `[{"urls":"turn:t","username":"u","credential":"` + form + `"}]`},
			{orga.CallICE, `[{"urls":["stun:s","stun:` + form + `"]}]`},
			{orga.CallICE, `[{"urls":"stun:s","` + form + `":null}]`},
			{orga.CallICE, `{"iceServers":[{"urls":"stun:s"}],"for":"` + form + `"}`},
		} {
			api := orgatest.New(t)
			api.Fail(row.call, orgatest.Status(200, row.body))
			_, err := api.NewClient().WithKey(key).SessionConfig(t.Context())
			if e, ok := errors.AsType[*orga.Error](err); !ok || !errors.Is(err, orga.ErrMalformed) || e.Call != row.call || !strings.HasSuffix(err.Error(), "it repeats the API key") {
				t.Errorf("%s, %s: %v", name, row.body, err)
			}
		}
	}
}

// Keys of at least twelve bytes are searched for.
func TestShortKeyInAnswer(t *testing.T) {
	api := orgatest.New(t)
	api.Fail(orga.CallMint, orgatest.Status(200, `{"ephemeral_token":"`+orga.KeyPrefix+`x"}`))
	if _, err := api.NewClient().WithKey(orga.KeyPrefix + "x").MintToken(t.Context()); !errors.Is(err, orga.ErrMalformed) {
		t.Error(err)
	}
}

// Text that only resembles the key is not an error, nor is a key that is too short to search for.
func TestKeyNotInAnswer(t *testing.T) {
	for key, body := range map[string]string{
		orgatest.Key:              `{"ephemeral_token":"` + orgatest.Key[:len(orgatest.Key)-1] + `"}`,
		orga.KeyPrefix + "x":      `{"ephemeral_token":"` + orga.KeyPrefix + `y"}`,
		"token":                   `{"ephemeral_token":"token-1"}`,
		"eleven_byte":             `{"ephemeral_token":"eleven_byte"}`,
		orga.KeyPrefix + "canary": `{"ephemeral_token":"` + base64.StdEncoding.EncodeToString([]byte(orga.KeyPrefix+"canned")) + `","x":"\u00e9\n"}`,
	} {
		api := orgatest.New(t)
		api.Fail(orga.CallMint, orgatest.Status(200, body))
		if _, err := api.NewClient().WithKey(key).MintToken(t.Context()); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// fault 17: printing a client shows neither its key nor its email.
func TestClientPrints(t *testing.T) {
	client := orga.NewClient(orgatest.Key, orga.WithUserEmail("a@b.example"))
	holder := struct {
		Client *orga.Client
		hidden orga.Client
	}{client, *client}
	for _, v := range []any{client, *client, holder, &holder} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, orgatest.Key) || strings.Contains(text, "a@b") || strings.Contains(text, hex.EncodeToString([]byte(orgatest.Key))) {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
}
