package auth_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/problem"
)

const mintPath = "/api/orga-client-secrets"

func sign(key, method, path string, at time.Time) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s\n%s\n%d", method, path, at.Unix())
	return fmt.Sprintf("Orga-HMAC ts=%d,sig=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

func keysOf(keys string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return keys, nil }
}

func hmacOf(keys func(context.Context) (string, error)) auth.Method {
	return auth.HMAC(auth.HMACConfig{Keys: keys})
}

func TestHMAC(t *testing.T) {
	const first, second = "first-key-of-a-test-0123456789abcdef", "second-key-of-a-test-0123456789abcdef"
	now := time.Now()
	good := sign(first, "GET", mintPath, now)
	for _, tt := range []struct {
		name   string
		header string
		want   string
	}{
		{"good", good, ""},
		{"fault 23: the second key", sign(second, "GET", mintPath, now), ""},
		{"hex in upper case", strings.Replace(good, good[strings.Index(good, "sig=")+4:], strings.ToUpper(good[strings.Index(good, "sig=")+4:]), 1), ""},
		{"scheme in another case", strings.Replace(good, "Orga-HMAC", "orga-hmac", 1), ""},
		{"another key", sign("another", "GET", mintPath, now), "unauthenticated"},
		{"an empty key", sign("", "GET", mintPath, now), "unauthenticated"},
		{"both keys as one", sign(first+"\n"+second, "GET", mintPath, now), "unauthenticated"},
		{"another method", sign(first, "POST", mintPath, now), "unauthenticated"},
		{"another path", sign(first, "GET", mintPath+"/acme", now), "unauthenticated"},
		{"fault 23: stale", sign(first, "GET", mintPath, now.Add(-5*time.Minute-2*time.Second)), "unauthenticated"},
		{"fault 23: from the future", sign(first, "GET", mintPath, now.Add(5*time.Minute+2*time.Second)), "unauthenticated"},
		{"fault 23: stale by a second", sign(first, "GET", mintPath, now.Add(-5*time.Minute-time.Second)), "unauthenticated"},
		{"nearly stale", sign(first, "GET", mintPath, now.Add(-4*time.Minute)), ""},
		{"nearly too early", sign(first, "GET", mintPath, now.Add(4*time.Minute)), ""},
		{"fault 23: truncated", good[:len(good)-2], "unauthenticated"},
		{"a digit more", good + "0", "unauthenticated"},
		{"no hex", good[:len(good)-1] + "g", "unauthenticated"},
		{"another time than was signed", strings.Replace(good, fmt.Sprint(now.Unix()), fmt.Sprint(now.Unix()+1), 1), "unauthenticated"},
		{"a negative time", strings.Replace(good, "ts=", "ts=-", 1), "unauthenticated"},
		{"a time that overflows", strings.Replace(good, "ts=", "ts=99999999999999999999", 1), "unauthenticated"},
		{"no time", strings.Replace(good, fmt.Sprintf("ts=%d", now.Unix()), "ts=", 1), "unauthenticated"},
		{"no parameters", "Orga-HMAC", "unauthenticated"},
		{"nothing", "", "unauthenticated"},
		{"another scheme", "Bearer " + good, "unauthenticated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, m := whole(hmacOf(keysOf(first + "\n" + second + "\n")))
			if got := codeOf(t, serve(h, newRequest("Authorization", tt.header))); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
			if (m.n == 1) != (tt.want == "") {
				t.Errorf("minted %d times", m.n)
			}
		})
	}

	t.Run("POST", func(t *testing.T) {
		h, m := whole(hmacOf(keysOf(first)))
		r := newRequest("Authorization", sign(first, "POST", mintPath, now))
		r.Method = http.MethodPost
		if serve(h, r); m.n != 1 {
			t.Error("refused")
		}
	})
	t.Run("fault 23: the last second of the window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, _ := whole(hmacOf(keysOf(first)))
			signed := sign(first, "GET", mintPath, time.Now())
			time.Sleep(5*time.Minute + 900*time.Millisecond)
			if got := codeOf(t, serve(h, newRequest("Authorization", signed))); got != "" {
				t.Errorf("code %q: ts has no more than seconds", got)
			}
			time.Sleep(100 * time.Millisecond)
			if got := codeOf(t, serve(h, newRequest("Authorization", signed))); got != "unauthenticated" {
				t.Errorf("code %q, 301 s later", got)
			}
		})
	})
	t.Run("two headers", func(t *testing.T) {
		h, _ := whole(hmacOf(keysOf(first)))
		if got := codeOf(t, serve(h, newRequest("Authorization", good, "Authorization", good))); got != "unauthenticated" {
			t.Errorf("code %q", got)
		}
	})
	t.Run("no key at all accepts nobody", func(t *testing.T) {
		h, _ := whole(hmacOf(keysOf("\n \n")))
		if got := codeOf(t, serve(h, newRequest("Authorization", sign("", "GET", mintPath, now)))); got != "misconfigured" {
			t.Errorf("code %q", got)
		}
	})
}

func TestHMACSignsThePathAsItWasSent(t *testing.T) {
	const key = "key-of-a-test-0123456789abcdef0123"
	for _, tt := range []struct{ sent, signed, want string }{
		{"/api/orga-client-secrets?a=b", "/api/orga-client-secrets", ""},
		{"/api/orga-client-secrets?a=b", "/api/orga-client-secrets?a=b", "unauthenticated"},
		{"/a%2Fb", "/a%2Fb", ""},
		{"/a%2Fb", "/a/b", "unauthenticated"},
		{"/prod/api/orga-session", "/prod/api/orga-session", ""},
	} {
		h, _ := whole(hmacOf(keysOf(key)))
		r := httptest.NewRequest(http.MethodGet, tt.sent, nil)
		r.URL.Path, r.URL.RawPath = strings.TrimPrefix(r.URL.Path, "/prod"), "" // as the router strips a stage
		r.Header.Set("Authorization", sign(key, "GET", tt.signed, time.Now()))
		if got := codeOf(t, serve(h, r)); got != tt.want {
			t.Errorf("%s signed as %s: code %q, want %q", tt.sent, tt.signed, got, tt.want)
		}
	}
}

func TestHMACAsksForTheKeyOnlyWhenItMayHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		outage := errors.New("out")
		h, _ := whole(hmacOf(func(context.Context) (string, error) { asked++; return "", outage }))
		for _, header := range []string{"", "Bearer x", "Orga-HMAC ts=1,sig=2", sign("k", "GET", mintPath, time.Now().Add(-time.Hour))} {
			serve(h, newRequest("Authorization", header))
		}
		if asked != 0 {
			t.Errorf("fault 33: the key was asked for %d times by callers who could not pass", asked)
		}
		w := serve(h, newRequest("Authorization", sign("k", "GET", mintPath, time.Now())))
		if got := codeOf(t, w); got != "secret_unavailable" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("the store is out: code %q, Retry-After %q", got, w.Header().Get("Retry-After"))
		}
		outage = problem.New(problem.Misconfigured, nil)
		if got := codeOf(t, serve(h, newRequest("Authorization", sign("k", "GET", mintPath, time.Now())))); got != "misconfigured" {
			t.Errorf("a problem of the source's own: code %q", got)
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	const key = "key-of-a-test-0123456789abcdef0123"
	keyed := hmacOf(keysOf(key))
	tokens := oidc(unreachable{}, auth.OIDCConfig{})
	h, m := whole(keyed, tokens, auth.Gateway())
	for _, seed := range []string{
		"", "Bearer", "Bearer ..", "Bearer a.b.c", "Bearer {\"payload\":\"\"}", "Bearer eyJhbGciOiJub25lIn0.e30.", "bearer  eyJhbGciOiJSUzI1NiJ9.e30.AA",
		"Orga-HMAC ts=1,sig=", sign("another", "GET", mintPath, time.Now()), "Basic YTpi", "Orga-HMAC ts=" + strings.Repeat("9", 40) + ",sig=" + strings.Repeat("0", 64),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		w := serve(h, newRequest("Authorization", header))
		if code := codeOf(t, w); code != "unauthenticated" && code != "auth_unavailable" || m.n != 0 {
			t.Errorf("%q: code %q, minted %d times", header, code, m.n)
		}
	})
}

// unreachable is a transport to nowhere.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("unreachable")
}
