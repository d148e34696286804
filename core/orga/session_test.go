package orga_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// config returns the session config of two bodies.
func config(t *testing.T, mint, ice string) orga.SessionConfig {
	t.Helper()
	api := new(orgatest.API)
	api.Fail(orga.CallMint, orgatest.Status(200, mint))
	api.Fail(orga.CallICE, orgatest.Status(200, ice))
	c, err := orga.NewClient(orgatest.Key, orga.WithTransport(orgatest.Pipe(t, api))).SessionConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The exact answer to a client. In the bubble, it is 2000-01-01 00:00 UTC.
func TestMarshal(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	for name, row := range map[string]struct{ mint, ice, want string }{
		"all":                     {`{"ephemeral_token":"t","expires_at":"2000-01-01T00:02:00"}`, `[{"urls":"stun:s"}]`, `{"ephemeralToken":"t","iceServers":[{"urls":"stun:s"}],"expiresAt":"2000-01-01T00:02:00Z","expiresIn":90}`},
		"expiry unknown":          {`{"ephemeral_token":"t"}`, `[]`, `{"ephemeralToken":"t","iceServers":[]}`},
		"expired meanwhile":       {`{"ephemeral_token":"t","expires_at":946684810}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"2000-01-01T00:00:10Z","expiresIn":0}`},
		"zone and fraction":       {`{"ephemeral_token":"t","expires_at":"2000-01-01T02:02:00.75+02:00"}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"2000-01-01T00:02:00Z","expiresIn":90}`},
		"zone as Python has it":   {`{"ephemeral_token":"t","expires_at":"2000-01-01T02:02:00+0200"}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"2000-01-01T00:02:00Z","expiresIn":90}`},
		"zone as Postgres has it": {`{"ephemeral_token":"t","expires_at":"2000-01-01 02:02:00.5+02"}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"2000-01-01T00:02:00Z","expiresIn":90}`},
		"the year 10000":          {`{"ephemeral_token":"t","expires_at":"9999-12-31T23:59:59-01:00"}`, `[]`, `{"ephemeralToken":"t","iceServers":[]}`},
		"milliseconds":            {`{"ephemeral_token":"t","expires_at":946684920000}`, `[]`, `{"ephemeralToken":"t","iceServers":[]}`},
		"the last of 9999":        {`{"ephemeral_token":"t","expires_at":"9999-12-31T23:59:59"}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"9999-12-31T23:59:59Z","expiresIn":9223372036}`},
		"the year 1":              {`{"ephemeral_token":"t","expires_at":"0001-06-01T00:00:00"}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"0001-06-01T00:00:00Z","expiresIn":0}`},
		"the first second":        {`{"ephemeral_token":"t","expires_at":1}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"1970-01-01T00:00:01Z","expiresIn":0}`},
		"10000, in seconds":       {`{"ephemeral_token":"t","expires_at":253402300800}`, `[]`, `{"ephemeralToken":"t","iceServers":[]}`},
		"no ttl left":             {`{"ephemeral_token":"t","ttl":0}`, `[]`, `{"ephemeralToken":"t","iceServers":[]}`},
		"a ttl below a second":    {`{"ephemeral_token":"t","ttl":0.5}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"2000-01-01T00:00:00Z","expiresIn":0}`},
		"a ttl of decades":        {`{"ephemeral_token":"t","ttl":1e9}`, `[]`, `{"ephemeralToken":"t","iceServers":[]}`},
		"a fraction of ttl":       {`{"ephemeral_token":"t","ttl":120.9}`, `[]`, `{"ephemeralToken":"t","iceServers":[],"expiresAt":"2000-01-01T00:02:00Z","expiresIn":90}`},
		"no ttl":                  {`{"ephemeral_token":"t","ttl":-1}`, `[]`, `{"ephemeralToken":"t","iceServers":[]}`},
		"credential as sent":      {`{"ephemeral_token":"t<&>"}`, `{"iceServers":[{"credential":"<&>\u2028é","urls":["turn:t"],"username":null}]}`, `{"ephemeralToken":"t<&>","iceServers":[{"credential":"<&>\u2028é","urls":["turn:t"]}]}`},
		"a long entry":            {`{"ephemeral_token":"t"}`, `[{"urls":"stun:s","x":"` + long + `"}]`, `{"ephemeralToken":"t","iceServers":[{"urls":"stun:s","x":"` + long + `"}]}`},
		"spacing dropped":         {`{"ephemeral_token":"t"}`, "[ { \"urls\" :\n[\"turn:t\"] } ]", `{"ephemeralToken":"t","iceServers":[{"urls":["turn:t"]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config(t, row.mint, row.ice)
				time.Sleep(30 * time.Second)
				var out bytes.Buffer
				enc := json.NewEncoder(&out)
				enc.SetEscapeHTML(false)
				if err := enc.Encode(c); err != nil || out.String() != row.want+"\n" {
					t.Errorf("%v\n got %swant %s", err, out.String(), row.want)
				}
			})
		})
	}
}

// A session config survives a round trip from a backend to a Go client.
func TestUnmarshal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 UTC
		at := time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC)
		for text, want := range map[string]struct {
			expires time.Time
			again   string
		}{
			`{"ephemeralToken":"t","iceServers":[]}`: {time.Time{}, `{"ephemeralToken":"t","iceServers":[]}`},
			`{"ephemeralToken":"t\"\\<","iceServers":[{"urls":"stun:s"},{"urls":["turn:t"],"username":"u","credential":"c<&>"}],"expiresAt":"2000-01-01T00:02:00Z","expiresIn":120}`: {
				at, `{"ephemeralToken":"t\"\\<","iceServers":[{"urls":"stun:s"},{"urls":["turn:t"],"username":"u","credential":"c<&>"}],"expiresAt":"2000-01-01T00:02:00Z","expiresIn":120}`},
			`{ "iceServers" : [ { "urls":"stun:s" } ], "expiresIn" : 120 , "more": 1, "ephemeralToken":"\u0074" }`: {
				at, `{"ephemeralToken":"t","iceServers":[{ "urls":"stun:s" }],"expiresAt":"2000-01-01T00:02:00Z","expiresIn":120}`},
			`{"ephemeralToken":"t","iceServers":[],"expiresAt":"soon"}`: {time.Time{}, `{"ephemeralToken":"t","iceServers":[]}`},
		} {
			var c orga.SessionConfig
			if err := json.Unmarshal([]byte(text), &c); err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			out, err := c.AppendJSON([]byte("before"))
			if err != nil || string(out) != "before"+want.again || !c.Token.ExpiresAt.Equal(want.expires) {
				t.Errorf("%v, %v\n got %s\nwant %s", c.Token.ExpiresAt, err, out, want.again)
			}
		}
		for _, text := range []string{`null`, `[]`, `"t"`, `{}`, `{"error":"Retry in 7 seconds.","code":"rate_limited"}`,
			`{"iceServers":[]}`, `{"ephemeralToken":"","iceServers":[]}`, `{"ephemeralToken":"a b","iceServers":[]}`, `{"ephemeralToken":7,"iceServers":[]}`,
			`{"EphemeralToken":"t","iceServers":[]}`, `{"ephemeralToken":"t"}`, `{"ephemeralToken":"t","iceServers":null}`, `{"ephemeralToken":"t","iceServers":[{}]}`} {
			c := orga.SessionConfig{Token: orga.NewEphemeralToken("before", at)}
			if err := json.Unmarshal([]byte(text), &c); err == nil || c.Token.Reveal() != "before" {
				t.Errorf("%s: %v", text, err)
			}
		}
		// Later changes of the arguments have no effect.
		data := []byte(`{"ephemeralToken":"t","iceServers":[{"urls":"stun:s"}]}`)
		var c orga.SessionConfig
		var server orga.ICEServer
		if c.UnmarshalJSON(data) != nil || server.UnmarshalJSON(data[36:len(data)-2]) != nil {
			t.Fatal("it does not read")
		}
		clear(data)
		if got := marshal(t, c) + marshal(t, server); got != `{"ephemeralToken":"t","iceServers":[{"urls":"stun:s"}]}{"urls":"stun:s"}` {
			t.Error(got)
		}
		if c.UnmarshalJSON([]byte(`{`)) == nil || server.UnmarshalJSON([]byte(`{"urls":`)) == nil || server.UnmarshalJSON([]byte(`{"urls":[]}`)) == nil {
			t.Error("half a text reads")
		}
	})
}

// fault 17: tokens and credentials are never printed, however they are wrapped.
func TestRedacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(t, `{"ephemeral_token":"canary"}`, `[{"urls":"turn:t","username":"canary","credential":"canary"}]`)
		type hidden struct {
			config  orga.SessionConfig
			token   orga.EphemeralToken
			servers []orga.ICEServer
			server  *orga.ICEServer
		}
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		for _, v := range []any{c, &c, c.Token, &c.Token, c.ICEServers, c.ICEServers[0], hidden{c, c.Token, c.ICEServers, &c.ICEServers[0]}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb, v)
			}
			fmt.Fprintln(&out, v)
			log.Info("it", "v", v)
		}
		text, err := json.Marshal(c.Token)
		out.Write(text)
		if err != nil || strings.Contains(out.String(), "canary") || strings.Contains(out.String(), fmt.Sprintf("%x", "canary")) {
			t.Errorf("%v\n%s", err, out.String())
		}
	})
}

// The zero values are empty and do no harm.
func TestZero(t *testing.T) {
	var token orga.EphemeralToken
	var server orga.ICEServer
	username, credential := server.Credential()
	if token.Reveal() != "" || server.URLs() != nil || username+credential != "" {
		t.Error("a zero value holds something")
	}
	for _, v := range []json.Marshaler{server, orga.SessionConfig{}, orga.SessionConfig{Token: orga.NewEphemeralToken("t", time.Time{}), ICEServers: []orga.ICEServer{server}}} {
		if out, err := v.MarshalJSON(); err == nil {
			t.Errorf("%T marshals as %s", v, out)
		}
	}
	if got := marshal(t, orga.SessionConfig{Token: orga.NewEphemeralToken("t", time.Time{})}); got != `{"ephemeralToken":"t","iceServers":[]}` {
		t.Error(got)
	}
}

// FuzzAnswers checks that the decoders return an error or a whole answer for any input, without a panic, and that
// a browser can parse the JSON that is passed on.
func FuzzAnswers(f *testing.F) {
	for _, s := range orgatest.BadMints {
		f.Add(s.Body, `[]`)
	}
	for _, s := range orgatest.BadICE {
		f.Add(`{"ephemeral_token":"t"}`, s.Body)
	}
	for _, d := range orgatest.ICEDrifts {
		answer, _ := d.Body(orgatest.Servers("t"))
		f.Add(orgatest.MintDrifts[0].Body("t", time.Unix(1e9, 0)), answer)
	}
	f.Fuzz(func(t *testing.T, mint, ice string) {
		client := orga.NewClient(orgatest.Key, orga.WithTransport(bodies{mint, ice}))
		c, err := client.SessionConfig(t.Context())
		if err != nil {
			return
		}
		var answer struct {
			EphemeralToken string           `json:"ephemeralToken"`
			ICEServers     []map[string]any `json:"iceServers"`
		}
		out, err := json.Marshal(c)
		if err != nil || json.Unmarshal(out, &answer) != nil || answer.EphemeralToken == "" || answer.ICEServers == nil {
			t.Fatalf("%v: %s", err, out)
		}
		var again orga.SessionConfig
		if err := json.Unmarshal(out, &again); err != nil || again.Token.Reveal() != c.Token.Reveal() || marshal(t, again.ICEServers) != marshal(t, c.ICEServers) ||
			!again.Token.ExpiresAt.Equal(c.Token.ExpiresAt.Truncate(time.Second)) {
			t.Errorf("%v: %s is read as another session config", err, out)
		}
		for _, s := range answer.ICEServers {
			for name, v := range s {
				if v == nil || v == "" && (name == "username" || name == "credential") {
					t.Errorf("%s: %v in %s", name, v, out)
				}
			}
			if s["urls"] == nil {
				t.Errorf("no urls in %s", out)
			}
		}
	})
}

// bodies is a transport that answers from memory.
type bodies struct{ mint, ice string }

func (b bodies) RoundTrip(r *http.Request) (*http.Response, error) {
	body := b.mint
	if r.Method == http.MethodGet {
		body = b.ice
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
}
