package orga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// The backend half of a session: the answer is what Orga's browser and mobile SDKs expect.
func ExampleClient_SessionConfig() {
	api := httptest.NewServer(&orgatest.API{}) // in a program: leave WithBaseURL out
	defer api.Close()

	client := orga.NewClient(orgatest.Key, orga.WithBaseURL(api.URL))
	http.HandleFunc("/api/orga-client-secrets", func(w http.ResponseWriter, r *http.Request) {
		config, err := client.SessionConfig(r.Context())
		if err != nil {
			http.Error(w, "no session", http.StatusBadGateway)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(config)
	})

	rec := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets", nil))
	var answer struct {
		EphemeralToken string            `json:"ephemeralToken"`
		ICEServers     []json.RawMessage `json:"iceServers"`
		ExpiresIn      int               `json:"expiresIn"`
	}
	_ = json.Unmarshal(rec.Body.Bytes(), &answer)
	fmt.Println(rec.Code, answer.EphemeralToken != "", len(answer.ICEServers), answer.ExpiresIn > 100)
	// Output: 200 true 2 true
}

// Errors are told apart by kind; the details are in an *orga.Error.
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
			fmt.Println("mend the key:", e.Code)
		case errors.Is(err, orga.ErrRateLimited):
			fmt.Println("wait", e.RetryAfter)
		default:
			fmt.Println(err)
		}
	}
	// Output:
	// mend the key: invalid_api_key
	// wait 7s
	// orga mint: unusable answer (status 200): it is not a JSON object
}
