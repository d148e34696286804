package orga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// A complete backend route.
func Example() {
	client := orga.NewClient(os.Getenv("ORGA_API_KEY"))
	http.HandleFunc("/api/orga-client-secrets", func(w http.ResponseWriter, r *http.Request) {
		config, err := client.SessionConfig(r.Context())
		if err != nil {
			http.Error(w, "no session", http.StatusBadGateway)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(config)
	})
}

// In a test, use package orgatest.
func ExampleNewClient() {
	api := httptest.NewServer(&orgatest.API{})
	defer api.Close()

	client := orga.NewClient(orgatest.Key, orga.WithBaseURL(api.URL))
	config, err := client.SessionConfig(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(config.Token, len(config.ICEServers), config.ICEServers[0].URLs())
	// Output: [redacted] 2 [stun:127.0.0.1:3478]
}

// If the key changes while the program runs, get it from a secret manager for each request.
func ExampleClient_WithKey() {
	api := new(orgatest.API)
	server := httptest.NewServer(api)
	defer server.Close()
	client := orga.NewClient("", orga.WithBaseURL(server.URL))

	for _, key := range []string{"sk_orga_ai_monday", "sk_orga_ai_tuesday"} { // as the secret manager has it
		api.AcceptKeys(key)
		token, err := client.WithKey(key).MintToken(context.Background())
		fmt.Println(token.Reveal() != "", err)
	}
	// Output:
	// true <nil>
	// true <nil>
}

// Distinguish errors by kind; an *orga.Error has the details.
func ExampleError() {
	api := new(orgatest.API)
	server := httptest.NewServer(api)
	defer server.Close()
	client := orga.NewClient(orgatest.Key, orga.WithBaseURL(server.URL))

	api.Fail(orga.CallMint,
		orgatest.Status(401, orgatest.ErrorBody("invalid_api_key", "sk_… is not valid")),
		orgatest.Status(429, "", "Retry-After", "7"),
		orgatest.HTML())
	for range 3 {
		_, err := client.SessionConfig(context.Background())
		switch e, _ := errors.AsType[*orga.Error](err); {
		case errors.Is(err, orga.ErrAuthentication):
			fmt.Println("replace the key:", e.Code)
		case e.Retryable():
			fmt.Println("wait", e.RetryAfter)
		default:
			fmt.Println(err)
		}
	}
	// Output:
	// replace the key: invalid_api_key
	// wait 7s
	// orga mint: unusable answer (status 200): it is not a JSON object
}

// A Go client parses a backend's answer.
func ExampleSessionConfig_UnmarshalJSON() {
	answer := `{"ephemeralToken":"t","iceServers":[{"urls":"turn:turn.example","username":"u","credential":"c"}],"expiresAt":"2026-11-23T08:00:00Z","expiresIn":120}`
	var config orga.SessionConfig
	if err := json.Unmarshal([]byte(answer), &config); err != nil {
		fmt.Println(err)
		return
	}
	username, _ := config.ICEServers[0].Credential()
	fmt.Println(config.Token.Reveal(), config.Token.ExpiresAt, username)
	// Output: t 2026-11-23 08:00:00 +0000 UTC u
}
