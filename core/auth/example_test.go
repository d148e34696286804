package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// turnstile accepts visitors who have passed a Cloudflare Turnstile widget. The page sends the widget's
// token as "Authorization: Turnstile <token>", the one header that CORS lets it send. A visitor has no
// name, so limits count by address.
func turnstile(secret func(context.Context) (string, error), client *http.Client) auth.Verifier {
	return auth.VerifierFunc(func(r *http.Request) (auth.Principal, error) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Turnstile ")
		if !ok {
			return auth.Principal{}, auth.ErrNoCredential
		}
		if len(token) > 2048 { // Cloudflare's own bound
			return auth.Principal{}, errors.New("turnstile: the token is too long")
		}
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		key, err := secret(ctx)
		if err != nil {
			return auth.Principal{}, &auth.UnavailableError{Err: err}
		}
		form := url.Values{"secret": {key}, "response": {token}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://challenges.cloudflare.com/turnstile/v0/siteverify", strings.NewReader(form.Encode()))
		if err != nil {
			return auth.Principal{}, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			return auth.Principal{}, &auth.UnavailableError{RetryAfter: time.Second, Err: err}
		}
		defer resp.Body.Close()
		var answer struct {
			Success bool `json:"success"`
		}
		if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<10)).Decode(&answer); err != nil {
			return auth.Principal{}, &auth.UnavailableError{RetryAfter: time.Second, Err: err}
		}
		if !answer.Success {
			return auth.Principal{}, errors.New("turnstile: the token does not hold")
		}
		return auth.Principal{}, nil
	})
}

// A custom verifier: Cloudflare Turnstile, which distinguishes people from programs.
func ExampleVerifier() {
	// A fake of Cloudflare.
	cloudflare := transport(func(r *http.Request) *http.Response {
		w := httptest.NewRecorder()
		fmt.Fprintf(w, `{"success":%t}`, r.FormValue("response") == "passed")
		return w.Result()
	})
	secret := func(context.Context) (string, error) { return "the secret of the widget", nil }
	verifier := turnstile(secret, &http.Client{Transport: cloudflare})

	for _, credential := range []string{"Turnstile passed", "Turnstile made-up", "Bearer x"} {
		r := httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets", nil)
		r.Header.Set("Authorization", credential)
		_, err := verifier.Verify(r)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// turnstile: the token does not hold
	// no accepted credential
}

// userOfApp asks for a user's token as Bearer, and for an App Check token in Firebase's own header,
// which apps and pages of the endpoint's own origin can send. Limits count by user.
func userOfApp(user, app auth.Verifier) auth.Verifier {
	return auth.VerifierFunc(func(r *http.Request) (auth.Principal, error) {
		check := r.Clone(r.Context())
		check.Header.Set("Authorization", "Bearer "+r.Header.Get("X-Firebase-AppCheck"))
		if _, err := app.Verify(check); err != nil {
			return auth.Principal{}, err
		}
		return user.Verify(r)
	})
}

// A verifier that requires two others to accept.
func ExampleVerifierFunc() {
	tokens := func(good string) auth.Verifier {
		return auth.VerifierFunc(func(r *http.Request) (auth.Principal, error) {
			if r.Header.Get("Authorization") != "Bearer "+good {
				return auth.Principal{}, errors.New("another token")
			}
			return auth.Principal{Subject: "ada"}, nil
		})
	}
	verifier := userOfApp(tokens("of-a-user"), tokens("of-an-app"))
	for _, app := range []string{"of-an-app", "made-up"} {
		r := httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets", nil)
		r.Header.Set("Authorization", "Bearer of-a-user")
		r.Header.Set("X-Firebase-AppCheck", app)
		caller, err := verifier.Verify(r)
		fmt.Printf("%q %v\n", caller.Subject, err)
	}
	// Output:
	// "ada" <nil>
	// "" another token
}

// sessionFor asks an endpoint with ORGA_AUTH=hmac for a session on behalf of a user.
func sessionFor(ctx context.Context, client *http.Client, endpoint, key, user string) (orga.SessionConfig, error) {
	var config orga.SessionConfig
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return config, err
	}
	if err := auth.SignRequest(r, key, user); err != nil {
		return config, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return config, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return config, fmt.Errorf("orga-session answered %s", resp.Status)
	}
	err = json.NewDecoder(resp.Body).Decode(&config)
	return config, err
}

// The caller's half of hmac, in a backend: sign for a user, and decode the answer.
func ExampleSignRequest() {
	key := strings.Repeat("k", 64) // from openssl rand -hex 32, the same as the endpoint's

	// A fake Orga API, and the endpoint.
	api := httptest.NewServer(new(orgatest.API))
	defer api.Close()
	env := core.Env{"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": api.URL, "ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC_KEY", "HMAC_KEY": key}
	cfg := core.ConfigFromEnv(env)
	cfg.Log = slog.New(slog.DiscardHandler)
	endpoint := httptest.NewServer(core.New(context.Background(), cfg, core.Drivers{}))
	defer endpoint.Close()

	url := endpoint.URL + "/api/orga-client-secrets"
	config, err := sessionFor(context.Background(), endpoint.Client(), url, key, "user-7")
	fmt.Println(config.Token.Reveal() != "", len(config.ICEServers) > 0, err)
	_, err = sessionFor(context.Background(), endpoint.Client(), url, strings.Repeat("x", 64), "user-7")
	fmt.Println(err)
	// Output:
	// true true <nil>
	// orga-session answered 401 Unauthorized
}

// Firebase's users in an app that Firebase attests: two issuers, combined by [userOfApp].
func ExampleIssuers() {
	issuers := new(auth.Issuers)
	user, err := issuers.OIDC(auth.OIDCConfig{
		Issuer:    "https://securetoken.google.com/PROJECT-ID",
		Audiences: []string{"PROJECT-ID"},
		Claims:    []string{"firebase.tenant"}, // of ORGA_AUTH_TENANT_CLAIM, if set: without it, every user may use the default route
	})
	if err != nil {
		log.Fatal(err)
	}
	app, err := issuers.OIDC(auth.OIDCConfig{
		Issuer:    "https://firebaseappcheck.googleapis.com/PROJECT-NUMBER",
		Audiences: []string{"projects/PROJECT-NUMBER"},
		JWKSURL:   "https://firebaseappcheck.googleapis.com/v1/jwks",
	})
	if err != nil {
		log.Fatal(err)
	}
	env := core.Environ(os.Environ()) // has ORGA_AUTH=firebase
	endpoint := core.Start(context.Background(), env, core.Drivers{
		Verifiers: map[string]auth.Verifier{"firebase": userOfApp(user, app)},
	}, nil)
	defer endpoint.Close()
}
