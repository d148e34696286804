package orgatest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// The API refuses what Orga's would refuse, so that a client's mistakes do not pass its tests.
func TestRefusals(t *testing.T) {
	const mint, ice = "/v1/realtime/client-secrets", "/v1/realtime/ice-config"
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

// A token is good until it ends; Pipe lets a test wait for that without waiting.
func TestTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := orga.NewClient(orgatest.Key, orga.WithTransport(orgatest.Pipe(t, &orgatest.API{TTL: time.Minute, Delay: time.Second})))
		start := time.Now()
		token, err := client.MintToken(t.Context())
		if err != nil || time.Since(start) != time.Second {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		if _, err := client.ICEServers(t.Context(), token); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if _, err := client.ICEServers(t.Context(), token); err == nil {
			t.Error("an expired token is accepted")
		}
	})
}
