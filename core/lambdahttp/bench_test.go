package lambdahttp_test

import (
	"net/http"
	"strings"
	"testing"
)

// BenchmarkInvoke measures the conversion of events and responses:
// go test -run '^$' -bench Invoke -benchmem ./core/lambdahttp.
func BenchmarkInvoke(b *testing.B) {
	body := []byte(`{"ephemeralToken":"` + strings.Repeat("e", 300) + `","iceServers":[{"urls":"stun:stun.example:3478"}]}`)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	for _, kind := range kinds {
		event := read(b, kind, "")
		handler := adapt(kind, h)
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := handler.Invoke(b.Context(), event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
