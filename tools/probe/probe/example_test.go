package probe_test

import (
	"context"
	"fmt"

	"github.com/orga-session/orga-session/tools/probe/probe"
)

// A deployment pipeline can test the deployed endpoint.
func ExampleRun() {
	report := probe.Run(context.Background(), probe.Options{
		URL:    "https://api.example.invalid",
		Origin: "https://app.example",
	})
	fmt.Println(report.Outcome, "at the cost of", report.Mints, "tokens")
	for _, check := range report.Checks {
		if check.Status == probe.Fail {
			fmt.Println(check.ID, check.Detail, check.Remedy)
		}
	}
	// Output: not_run at the cost of 0 tokens
}
