package entrypoints

import (
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// Fault 39: if the invocation's own deadline is earlier than ORGA_TIMEOUT, it applies.
func TestAnswerComesBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	const left = 4 * time.Second
	key := canary()
	upstream := orgatest.New(t)
	upstream.FailAll(orga.CallMint, orgatest.Hang())
	env := []string{"ORGA_API_KEY=" + key, "ORGA_BASE_URL=" + upstream.URL, "ORGA_AUTH=anonymous"}
	for program, trigger := range map[string]string{"aws-lambda": "HTTP API", "orga-session": "Netlify"} {
		api := startLambda(t, program, key, env...)
		<-api.Ready()
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			got := overLambdaWith(api, triggers[trigger], lambdaruntime.Options{Timeout: left})(t, request{method: "GET", path: mint})
			if spare := left - time.Since(begun); got.status != 504 || spare < 250*time.Millisecond { // of the reserved 500 ms; a busy machine uses some
				t.Errorf("got %d with %v to spare: %s", got.status, spare, got.body)
			}
		})
	}
}
