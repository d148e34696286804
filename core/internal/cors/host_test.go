package cors_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/internal/cors"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

// fault 74: a request for another host gets a 403, even a preflight, and nothing is minted.
func TestAllowHosts(t *testing.T) {
	listed := []string{"Voice.example", "localhost:8080", "[::1]:8080", "plain.example:443"}
	for host, allowed := range map[string]bool{
		"voice.example": true, "VOICE.example": true, "voice.example:443": true, "voice.example:80": true,
		"localhost:8080": true, "[::1]:8080": true, "plain.example": true,
		"": false, "evil.example": false, "voice.example.evil.example": false, "x.voice.example": false, "voice.example.": false,
		"voice.example:8443": false, "localhost": false, "localhost:80": false, "[::1]": false, "voice.example\n": false,
	} {
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			m := new(requesttest.Minted)
			allow, err := cors.AllowHosts(listed)
			if err != nil {
				t.Fatal(err)
			}
			r := requesttest.New("Origin", app)
			r.Method, r.Host = method, host
			w := requesttest.Serve(allow(newCORS(t, app).Mint(m)), r)
			if allowed && (w.Code >= 400 || len(corsHeaders(w)) == 0) {
				t.Errorf("%s by %s: %d with %q", host, method, w.Code, corsHeaders(w))
			}
			if !allowed && (requesttest.Code(t, w) != "forbidden" || m.N != 0 || len(corsHeaders(w)) > 0) {
				t.Errorf("%q by %s: %d with %q, minted %d times", host, method, w.Code, corsHeaders(w), m.N)
			}
		}
	}
	t.Run("none set", func(t *testing.T) {
		m := new(requesttest.Minted)
		allow, err := cors.AllowHosts(nil)
		if err != nil {
			t.Fatal(err)
		}
		if r := requesttest.New(); requesttest.Serve(allow(m), r).Code != 200 || m.N != 1 {
			t.Error("refused")
		}
	})
}

func TestHostsInBrowserForm(t *testing.T) {
	for _, bad := range []string{"", "*", "*.example.com", "https://voice.example", "voice.example/", "a@voice.example", "voice.example.", "voice example",
		"voice.example:0", "voice.example:http", "bücher.example", "127.1", "::1", "voice.example:8443:8443"} {
		_, err := cors.AllowHosts([]string{"voice.example", bad})
		if err == nil || !strings.Contains(err.Error(), "host 2 of 2") || len(bad) > 7 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v: want its place and not its text", bad, err)
		}
	}
}

// The log names the refused host, if it has the form of one.
func TestRefusedHostIsNamed(t *testing.T) {
	allow, err := cors.AllowHosts([]string{"voice.example"})
	if err != nil {
		t.Fatal(err)
	}
	for host, cause := range map[string]string{
		"evil.example":  `"cause":"the host is not allowed: evil.example"`,
		"evil example/": `"cause":"the host is not allowed"`,
	} {
		var log bytes.Buffer
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		request.Handler(allow(new(requesttest.Minted)), slog.New(slog.NewJSONHandler(&log, nil))).ServeHTTP(httptest.NewRecorder(), r)
		if !strings.Contains(log.String(), cause) {
			t.Errorf("%q: no %s in %s", host, cause, log.String())
		}
	}
}
