package lambdahttp_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/orga-session/orga-session/core/lambdahttp"
)

// BenchmarkAWS has what the way from an event to a request, and from the answer to a response, adds to
// an invocation: go test -run '^$' -bench AWS -benchmem ./core/lambdahttp.
func BenchmarkAWS(b *testing.B) {
	function := lambdahttp.AWS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ephemeralToken":"of-a-benchmark","iceServers":[]}`)
	}), 0)
	for _, fixture := range []string{"httpapi.json", "restapi.json"} {
		event, err := os.ReadFile("testdata/" + fixture)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fixture, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := function.Invoke(context.Background(), event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
