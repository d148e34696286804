package orgatest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// In a test, orgatest.New(t) starts the API and stops it with the test. An API also works without a test.
func Example() {
	api := &orgatest.API{}
	server := httptest.NewServer(api)
	defer server.Close()

	client := orga.NewClient(orgatest.Key, orga.WithBaseURL(server.URL))
	api.Fail(orga.CallMint, orgatest.Status(429, "", "Retry-After", "7"))
	_, err := client.SessionConfig(context.Background())
	fmt.Println(errors.Is(err, orga.ErrRateLimited))

	config, err := client.SessionConfig(context.Background())
	fmt.Println(err, config.Token.Reveal() == api.Tokens()[0], len(config.ICEServers))
	// Output:
	// true
	// <nil> true 2
}
