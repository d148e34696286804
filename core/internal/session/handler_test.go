package session_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/orga-session/orga-session/core/orga"
)

// An optional body must be small JSON; otherwise nothing is minted.
func TestBody(t *testing.T) {
	const json, full = "application/json", 16 << 10
	for name, row := range map[string]struct {
		method, contentType string
		body                io.Reader
		status              int
	}{
		"GET":                         {"GET", "", nil, 200},
		"GET with a body is ignored":  {"GET", "text/plain", strings.NewReader(strings.Repeat("x", full+1)), 200},
		"POST without a body":         {"POST", "", nil, 200},
		"no body of another type":     {"POST", "text/plain", strings.NewReader(""), 200},
		"chunked, nothing in it":      {"POST", "", io.MultiReader(), 200},
		"object":                      {"POST", json, strings.NewReader(`{"a":1}`), 200},
		"any value":                   {"POST", json, strings.NewReader(`7`), 200},
		"null":                        {"POST", json, strings.NewReader(`null`), 200},
		"charset":                     {"POST", "Application/JSON; charset=utf-8", strings.NewReader(`{}`), 200},
		"chunked":                     {"POST", json, io.MultiReader(strings.NewReader(`{`), strings.NewReader(`}`)), 200},
		"as large as may be":          {"POST", json, strings.NewReader(`"` + strings.Repeat("x", full-2) + `"`), 200},
		"too large":                   {"POST", json, strings.NewReader(`"` + strings.Repeat("x", full-1) + `"`), 413},
		"too large, chunked":          {"POST", json, io.MultiReader(strings.NewReader(strings.Repeat(" ", full+1))), 413},
		"too large and another type":  {"POST", "text/plain", strings.NewReader(strings.Repeat("x", full+1)), 413},
		"another type":                {"POST", "text/plain", strings.NewReader(`{}`), 415},
		"another type and no JSON":    {"POST", "text/plain", strings.NewReader(`{`), 415},
		"no type":                     {"POST", "", strings.NewReader(`{}`), 415},
		"a type that does not parse":  {"POST", "application/json;;", strings.NewReader(`{}`), 415},
		"a type that only looks like": {"POST", "application/jsonp", strings.NewReader(`{}`), 415},
		"form":                        {"POST", "application/x-www-form-urlencoded", strings.NewReader(`a=b`), 415},
		"no JSON":                     {"POST", json, strings.NewReader(`{`), 400},
		"two values":                  {"POST", json, strings.NewReader(`{}{}`), 400},
		"blank":                       {"POST", json, strings.NewReader(` `), 400},
		"broken off":                  {"POST", json, io.MultiReader(strings.NewReader(`{`), iotest.ErrReader(errors.New("reset"))), 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				rec := httptest.NewRecorder()
				req := httptest.NewRequest(row.method, "/", row.body)
				if row.contentType != "" {
					req.Header.Set("Content-Type", row.contentType)
				}
				r.ServeHTTP(rec, req)
				if rec.Code != row.status {
					t.Errorf("status %d, want %d: %s", rec.Code, row.status, rec.Body)
				}
				if minted := r.api.Calls(orga.CallMint); (minted == 1) != (row.status == 200) || r.fetches.Load() != int64(minted) {
					t.Errorf("%d mints, %d fetches of the key", minted, r.fetches.Load())
				}
			})
		})
	}
}

// fault 46: the exact answer, except for the token, and its fields in the log.
func TestAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.get(t.Context())
		sum := sha256.Sum256([]byte(a.Token))
		mask := regexp.MustCompile(regexp.QuoteMeta(a.Token) + `|user-[0-9a-f]+|pass-[0-9a-f]+`)
		const want = `{"ephemeralToken":"…","iceServers":[{"urls":["stun:127.0.0.1:3478"]},` +
			`{"urls":["turn:127.0.0.1:3478?transport=udp"],"username":"…","credential":"…"}],` +
			`"expiresAt":"2000-01-01T00:02:00Z","expiresIn":120}` + "\n"
		if got := mask.ReplaceAllString(a.Body.String(), "…"); got != want {
			t.Errorf("\n got %swant %s", got, want)
		}
		for name, want := range map[string]string{
			"Content-Type":  "application/json",
			"Cache-Control": "no-store",
			"Server-Timing": "secret;dur=20.0, token;dur=0.0, ice;dur=0.0",
		} {
			if got := a.Header().Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		var line struct {
			Code     string  `json:"error.type"`
			Hash     string  `json:"token_sha256"`
			Attempts int     `json:"attempts"`
			Secret   float64 `json:"secret_ms"`
		}
		log := strings.Split(strings.TrimSpace(r.logged()), "\n")
		if err := json.Unmarshal([]byte(log[len(log)-1]), &line); err != nil {
			t.Fatal(err)
		}
		if line.Code != "" || line.Hash != hex.EncodeToString(sum[:8]) || line.Attempts != 2 || line.Secret != 20 {
			t.Errorf("%+v", line)
		}
		r.quiet(t, a)
	})
}

// No two requests get the same token.
func TestNoTokenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		seen := map[string]bool{}
		for range 20 {
			a := r.get(t.Context())
			if a.Code != http.StatusOK || seen[a.Token] {
				t.Errorf("%d, the same token: %v", a.Code, seen[a.Token])
			}
			seen[a.Token] = true
		}
	})
}
