package policy_test

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/exchange"
	"github.com/orga-session/orga-session/core/policy"
)

// A chain in front of a mint: pages of one origin, callers with a key, once an hour.
func Example() {
	mint := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "minted") })
	cors, err := policy.NewCORS([]string{"https://app.example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	keys := func(context.Context) (string, error) { return "a-shared-key", nil }

	h := policy.Limit(policy.NewMemory(), policy.Quota{N: 1, Per: time.Hour}, "")(mint)
	h = policy.Auth([]policy.Verifier{policy.NewHMAC(keys)}, "", "")(h)
	h = cors.Mint(h)
	h = exchange.Handler(h, slog.New(slog.DiscardHandler))

	ask := func(name, value string) {
		r := httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets", nil)
		r.Header.Set(name, value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%d RateLimit: %s\n", w.Code, cmp.Or(w.Header().Get("RateLimit"), "not counted"))
	}
	now := time.Now().Unix()
	mac := hmac.New(sha256.New, []byte("a-shared-key"))
	fmt.Fprintf(mac, "GET\n/api/orga-client-secrets\n%d", now)
	signed := fmt.Sprintf("Orga-HMAC ts=%d,sig=%x", now, mac.Sum(nil))

	ask("Origin", "https://evil.example")
	ask("Authorization", "Bearer of good news")
	ask("Authorization", signed)
	ask("Authorization", signed)
	// Output:
	// 403 RateLimit: not counted
	// 401 RateLimit: not counted
	// 200 RateLimit: "caller";r=0;t=3600
	// 429 RateLimit: "caller";r=0;t=3600
}

// turnstile accepts visitors who have passed a Cloudflare Turnstile widget. The page sends the widget's
// token as "Authorization: Turnstile <token>", the one header that CORS lets it send. A visitor has no
// name, so limits count by address.
func turnstile(secret func(context.Context) (string, error), client *http.Client) policy.Verifier {
	return policy.VerifierFunc(func(r *http.Request) (policy.Principal, error) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Turnstile ")
		if !ok {
			return policy.Principal{}, policy.ErrNoCredential
		}
		if len(token) > 2048 { // Cloudflare's own bound
			return policy.Principal{}, errors.New("turnstile: the token is too long")
		}
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		key, err := secret(ctx)
		if err != nil {
			return policy.Principal{}, exchange.Refuse(exchange.AuthUnavailable, err)
		}
		form := url.Values{"secret": {key}, "response": {token}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://challenges.cloudflare.com/turnstile/v0/siteverify", strings.NewReader(form.Encode()))
		if err != nil {
			return policy.Principal{}, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			return policy.Principal{}, &exchange.Problem{Code: exchange.AuthUnavailable, RetryAfter: time.Second, Cause: err}
		}
		defer resp.Body.Close()
		var answer struct {
			Success bool `json:"success"`
		}
		if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<10)).Decode(&answer); err != nil {
			return policy.Principal{}, &exchange.Problem{Code: exchange.AuthUnavailable, RetryAfter: time.Second, Cause: err}
		}
		if !answer.Success {
			return policy.Principal{}, errors.New("turnstile: the token does not hold")
		}
		return policy.Principal{}, nil
	})
}

// A verifier of one's own: Cloudflare Turnstile, which tells people from programs.
func ExampleVerifier() {
	// Stands for Cloudflare here.
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
	// no credential of a kind that is accepted
}

// userOfApp asks for a user's token as Bearer, and for an App Check token in Firebase's own header,
// which apps and pages of the endpoint's own origin can send. Limits count by user.
func userOfApp(user, app policy.Verifier) policy.Verifier {
	return policy.VerifierFunc(func(r *http.Request) (policy.Principal, error) {
		check := r.Clone(r.Context())
		check.Header.Set("Authorization", "Bearer "+r.Header.Get("X-Firebase-AppCheck"))
		if _, err := app.Verify(check); err != nil {
			return policy.Principal{}, err
		}
		return user.Verify(r)
	})
}

// Two verifiers that must both accept.
func ExampleVerifierFunc() {
	tokens := func(good string) policy.Verifier {
		return policy.VerifierFunc(func(r *http.Request) (policy.Principal, error) {
			if r.Header.Get("Authorization") != "Bearer "+good {
				return policy.Principal{}, errors.New("another token")
			}
			return policy.Principal{Subject: "ada"}, nil
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
