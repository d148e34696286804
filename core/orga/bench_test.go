package orga_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// answers are the two answers of a session, of realistic size.
func answers() (mint, ice string) {
	const token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEyMzQ1Njc4IiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmUtc2ln"
	return `{"ephemeral_token":"` + token + `","token_type":"bearer","expires_at":"2099-12-31T23:59:59.123456"}`,
		`{"iceServers":[{"urls":["stun:stun.example:3478"]},` +
			`{"urls":["turn:turn.example:3478?transport=udp","turn:turn.example:3478?transport=tcp"],"username":"4102444800:user","credential":"Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6"},` +
			`{"urls":["turns:turn.example:5349?transport=tcp"],"username":"4102444800:user","credential":"Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6"}]}`
}

// memory is a transport that answers from memory, to measure only the client.
type memory struct{ mint, ice string }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	body := m.mint
	if r.Method == http.MethodGet {
		body = m.ice
	}
	return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(len(body)), Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader([]byte(body)))}, nil
}

// One session: both calls, and the answer to the client.
func BenchmarkSession(b *testing.B) {
	mint, ice := answers()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := mint
		if r.Method == http.MethodGet {
			body = ice
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body)
	}))
	defer api.Close()
	for _, row := range []struct {
		name   string
		client *orga.Client
	}{
		{"memory", orga.NewClient("", orga.WithTransport(memory{mint, ice}))},
		{"loopback", orga.NewClient("", orga.WithTransport(&http.Transport{}), orga.WithBaseURL(api.URL))}, // allocations of the server included
	} {
		b.Run(row.name, func(b *testing.B) {
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour) // as an endpoint has a budget
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				config, err := row.client.WithKey(orgatest.Key).SessionConfig(ctx)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := config.AppendJSON(nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
