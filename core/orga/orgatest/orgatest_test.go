package orgatest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// The API refuses what Orga's would refuse, so that tests find a client's mistakes.
func TestRefusals(t *testing.T) {
	const mint, ice = "/v1/realtime/client-secrets", "/v1/realtime/ice-config"
	forged := func() string { // of another API
		other := orgatest.New(t)
		token, err := other.NewClient().MintToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return token.Reveal()
	}()
	for name, row := range map[string]struct {
		email                    string
		method, path, credential string
		contentType, body        string
		status                   int
	}{
		"good mint":         {method: "POST", path: mint, credential: orgatest.Key, contentType: "application/json", status: 200},
		"no key":            {method: "POST", path: mint, contentType: "application/json", status: 401},
		"a token as key":    {method: "POST", path: mint, credential: "eyJ.e.y", contentType: "application/json", status: 401},
		"no content type":   {method: "POST", path: mint, credential: orgatest.Key, status: 415},
		"a body":            {method: "POST", path: mint, credential: orgatest.Key, contentType: "application/json", body: "{}", status: 400},
		"GET":               {method: "GET", path: mint, credential: orgatest.Key, contentType: "application/json", status: 405},
		"another path":      {method: "POST", path: mint + "/", credential: orgatest.Key, contentType: "application/json", status: 404},
		"no email":          {email: "a@b.example", method: "POST", path: mint, credential: orgatest.Key, contentType: "application/json", status: 422},
		"email":             {email: "a@b.example", method: "POST", path: mint + "?email=a@b.example", credential: orgatest.Key, contentType: "application/json", status: 200},
		"another email":     {email: "a@b.example", method: "POST", path: mint + "?email=b@b.example", credential: orgatest.Key, contentType: "application/json", status: 404},
		"ICE with the key":  {method: "GET", path: ice, credential: orgatest.Key, status: 401},
		"ICE with a forged": {method: "GET", path: ice, credential: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA", status: 401},
		"ICE of another":    {method: "GET", path: ice, credential: forged, status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			server := orgatest.Start(t, &orgatest.API{UserEmail: row.email}, false)
			req, err := http.NewRequest(row.method, server.URL+row.path, strings.NewReader(row.body))
			if err != nil {
				t.Fatal(err)
			}
			if row.credential != "" {
				req.Header.Set("Authorization", "Bearer "+row.credential)
			}
			if row.contentType != "" {
				req.Header.Set("Content-Type", row.contentType)
			}
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != row.status {
				t.Errorf("status %d, %v; want %d", resp.StatusCode, err, row.status)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	api := orgatest.New(t)
	client := api.NewClient()
	const second = orga.KeyPrefix + "second"
	for _, step := range []struct {
		accept []string
		key    string
		ok     bool
	}{
		{nil, orgatest.Key, true},
		{[]string{orgatest.Key, second}, second, true},
		{[]string{second}, orgatest.Key, false},
		{[]string{second}, second, true},
	} {
		api.AcceptKeys(step.accept...)
		if _, err := client.WithKey(step.key).MintToken(t.Context()); (err == nil) != step.ok {
			t.Errorf("accepting %d keys: %v", len(step.accept), err)
		}
	}
	if got := len(api.Tokens()); got != 3 || api.Calls(orga.CallMint) != 4 {
		t.Errorf("%d tokens of %d calls", got, api.Calls(orga.CallMint))
	}
}

// A token is valid until it expires or has opened a call; the error code says which. With Pipe, a test can use a fake
// clock.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &orgatest.API{TTL: time.Minute, Delay: time.Second}
		client := orga.NewClient(orgatest.Key, orga.WithTransport(orgatest.Pipe(t, api)))
		start := time.Now()
		token, err := client.MintToken(t.Context())
		if err != nil || time.Since(start) != time.Second {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		spent, err := client.MintToken(t.Context())
		if err != nil || api.Alive() != 2 {
			t.Fatalf("%d tokens are alive, %v", api.Alive(), err)
		}
		use := func(token string) int {
			w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/realtime/calls", nil)
			r.Header.Set("Authorization", "bearer "+token)
			if got, ok := api.Use(w, r); ok != (got.ID != "" && w.Body.Len() == 0) {
				t.Errorf("%v, %v, %s", got, ok, w.Body)
			}
			return w.Code
		}
		if a, b := use(spent.Reveal()), use(spent.Reveal()); a != 200 || b != 401 || api.Alive() != 1 {
			t.Errorf("a token is used with %d, again with %d; %d are alive", a, b, api.Alive())
		}
		if _, err := client.ICEServers(t.Context(), token); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if api.Alive() != 0 {
			t.Errorf("%d tokens are alive", api.Alive())
		}
		for code, token := range map[string]string{"token_expired": token.Reveal(), "token_spent": spent.Reveal(), "permanent_key": orgatest.Key, "invalid_token": "e.y.J"} {
			_, err := client.ICEServers(t.Context(), orga.NewEphemeralToken(token, time.Time{}))
			if e, ok := errors.AsType[*orga.Error](err); !ok || e.Code != code {
				t.Errorf("%v; want the code %s", err, code)
			}
		}
		if got := fmt.Sprint(api.Refused(), api.Served(orga.CallMint), api.Served(orga.CallICE), api.Calls(orga.CallICE)); got !=
			"map[invalid_token:1 permanent_key:1 token_expired:1 token_spent:2] 2 1 5" {
			t.Error(got)
		}
	})
}

// Fields can change while the API serves.
func TestChange(t *testing.T) {
	api := orgatest.New(t)
	api.Change(func(a *orgatest.API) {
		a.TTL, a.ClockSkew = time.Hour, -time.Hour
		a.ICEDrift = orgatest.ICEDrifts[3]
		a.ICEServers = func(token orgatest.Token) []orgatest.ICEServer {
			return []orgatest.ICEServer{{URLs: []string{"turn:a", "turn:b"}, Username: token.ID, Credential: "c"}}
		}
	})
	config, err := api.NewClient().SessionConfig(t.Context())
	if err != nil || len(config.ICEServers) != 1 {
		t.Fatal(err)
	}
	if username, _ := config.ICEServers[0].Credential(); username == "" || len(config.ICEServers[0].URLs()) != 2 {
		t.Errorf("%s, %v", username, config.ICEServers[0].URLs())
	}
	if left := time.Until(config.Token.ExpiresAt); left > time.Second || left < -time.Minute || api.Alive() != 1 {
		t.Errorf("%v left, %d alive", left, api.Alive())
	}
}
