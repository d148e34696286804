package googlefront_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/internal/googlefront"
)

func TestHandler(t *testing.T) {
	tests := []struct {
		name      string
		forwarded []string
		hops      int
		want      string
	}{
		{"fault 30: what the client wrote is to the left", []string{"9.9.9.9, 192.0.2.10"}, 0, "192.0.2.10:0"},
		{"fault 30: on separate header lines", []string{"9.9.9.9", "192.0.2.10"}, 0, "192.0.2.10:0"},
		{"the owner's proxies are skipped", []string{"9.9.9.9, 192.0.2.10, 203.0.113.1"}, 1, "192.0.2.10:0"},
		{"IPv6", []string{"2001:db8::1"}, 0, "[2001:db8::1]:0"},
		{"none: the connection's is a proxy of Google's", nil, 0, ""},
		{"no address", []string{"unknown"}, 0, ""},
	}
	for _, tt := range tests {
		var got string
		serve := googlefront.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }), core.Config{TrustedHops: tt.hops})
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header["X-Forwarded-For"] = tt.forwarded
		serve.ServeHTTP(httptest.NewRecorder(), r)
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Google's front end writes X-Forwarded-Proto, over what a client sends.
func TestHTTPS(t *testing.T) {
	for proto, want := range map[string]bool{"https": true, "http": false, "https,http": false, "": false} {
		var got bool
		serve := googlefront.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = platform.From(r.Context()).HTTPS }), core.Config{})
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header.Set("X-Forwarded-Proto", proto)
		if serve.ServeHTTP(httptest.NewRecorder(), r); got != want {
			t.Errorf("%q: HTTPS %t", proto, got)
		}
	}
}

func TestIdentityNeedsDeclaration(t *testing.T) {
	for _, required := range []bool{false, true} {
		var got *platform.Identity
		serve := googlefront.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = platform.From(r.Context()).Identity
		}), core.Config{GoogleIAM: required})
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header.Set("X-Goog-Authenticated-User-Id", "accounts.google.com:1") // fault 24
		r.Header.Set("X-Serverless-Authorization", "Bearer a.b.c")
		serve.ServeHTTP(httptest.NewRecorder(), r)
		if (got != nil) != required {
			t.Errorf("IAM required %t: got the identity %v", required, got)
		}
		if got != nil && (got.Subject != "" || got.Issuer != "https://accounts.google.com") {
			t.Errorf("got %+v: Google names nobody but itself", got)
		}
	}
}
