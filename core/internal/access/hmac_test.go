package access_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

const mintPath = "/api/orga-client-secrets"

func sign(key, method, path string, at time.Time) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s\n%s\n%d", method, path, at.Unix())
	return fmt.Sprintf("Orga-HMAC ts=%d,sig=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

func keysOf(keys string) func(context.Context) (string, *problem.Problem) {
	return func(context.Context) (string, *problem.Problem) { return keys, nil }
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
		{"no ts=", strings.Replace(good, "ts=", "", 1), "unauthenticated"},
		{"no time", strings.Replace(good, fmt.Sprintf("ts=%d", now.Unix()), "ts=", 1), "unauthenticated"},
		{"no parameters", "Orga-HMAC", "unauthenticated"},
		{"nothing", "", "unauthenticated"},
		{"another scheme", "Bearer " + good, "unauthenticated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, m := whole(access.HMAC(keysOf(first + "\n" + second + "\n")))
			if got := requesttest.Code(t, requesttest.Serve(h, requesttest.New("Authorization", tt.header))); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
			if (m.N == 1) != (tt.want == "") {
				t.Errorf("minted %d times", m.N)
			}
		})
	}

	t.Run("POST", func(t *testing.T) {
		h, m := whole(access.HMAC(keysOf(first)))
		r := requesttest.New("Authorization", sign(first, "POST", mintPath, now))
		r.Method = http.MethodPost
		if requesttest.Serve(h, r); m.N != 1 {
			t.Error("refused")
		}
	})
	t.Run("fault 23: the last second of the window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, _ := whole(access.HMAC(keysOf(first)))
			signed := sign(first, "GET", mintPath, time.Now())
			time.Sleep(5*time.Minute + 900*time.Millisecond)
			if got := requesttest.Code(t, requesttest.Serve(h, requesttest.New("Authorization", signed))); got != "" {
				t.Errorf("code %q: ts has no more than seconds", got)
			}
			time.Sleep(100 * time.Millisecond)
			if got := requesttest.Code(t, requesttest.Serve(h, requesttest.New("Authorization", signed))); got != "unauthenticated" {
				t.Errorf("code %q, 301 s later", got)
			}
		})
	})
	t.Run("two headers", func(t *testing.T) {
		h, _ := whole(access.HMAC(keysOf(first)))
		if got := requesttest.Code(t, requesttest.Serve(h, requesttest.New("Authorization", good, "Authorization", good))); got != "unauthenticated" {
			t.Errorf("code %q", got)
		}
	})
	t.Run("without a key, nobody is accepted", func(t *testing.T) {
		h, _ := whole(access.HMAC(keysOf("\n \n")))
		if got := requesttest.Code(t, requesttest.Serve(h, requesttest.New("Authorization", sign("", "GET", mintPath, now)))); got != "misconfigured" {
			t.Errorf("code %q", got)
		}
	})
}

func TestHMACSignsPathAsSent(t *testing.T) {
	const key = "key-of-a-test-0123456789abcdef0123"
	for _, tt := range []struct{ sent, signed, want string }{
		{"/api/orga-client-secrets?a=b", "/api/orga-client-secrets", ""},
		{"/api/orga-client-secrets?a=b", "/api/orga-client-secrets?a=b", "unauthenticated"},
		{"/a%2Fb", "/a%2Fb", ""},
		{"/a%2Fb", "/a/b", "unauthenticated"},
		{"/prod/api/orga-session", "/prod/api/orga-session", ""},
	} {
		h, _ := whole(access.HMAC(keysOf(key)))
		r := httptest.NewRequest(http.MethodGet, tt.sent, nil)
		r.URL.Path, r.URL.RawPath = strings.TrimPrefix(r.URL.Path, "/prod"), "" // as the router strips a stage
		r.Header.Set("Authorization", sign(key, "GET", tt.signed, time.Now()))
		if got := requesttest.Code(t, requesttest.Serve(h, r)); got != tt.want {
			t.Errorf("%s signed as %s: code %q, want %q", tt.sent, tt.signed, got, tt.want)
		}
	}
}

func TestHMACReadsKeyLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		h, _ := whole(access.HMAC(func(context.Context) (string, *problem.Problem) {
			asked++
			return "", &problem.Problem{Code: problem.SecretUnavailable, RetryAfter: time.Second}
		}))
		for _, header := range []string{"", "Bearer x", "Orga-HMAC ts=1,sig=2", sign("k", "GET", mintPath, time.Now().Add(-time.Hour))} {
			requesttest.Serve(h, requesttest.New("Authorization", header))
		}
		if asked != 0 {
			t.Errorf("fault 33: the key was asked for %d times by callers who could not pass", asked)
		}
		w := requesttest.Serve(h, requesttest.New("Authorization", sign("k", "GET", mintPath, time.Now())))
		if got := requesttest.Code(t, w); got != "secret_unavailable" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("the store is down: code %q, Retry-After %q", got, w.Header().Get("Retry-After"))
		}
	})
}

// signSubject returns a header with sub and a signature over ts and subject.
func signSubject(key, subject string, at time.Time, header func(ts int64, sig string) string) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "GET\n%s\n%d", mintPath, at.Unix())
	if subject != "" {
		fmt.Fprintf(mac, "\n%s", subject)
	}
	return header(at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

// fault 62: a backend signs the subject of its request.
func TestHMACSubjects(t *testing.T) {
	const key = "key-of-a-test-0123456789abcdef0123"
	named := func(sub string) func(int64, string) string {
		return func(ts int64, sig string) string { return fmt.Sprintf("Orga-HMAC ts=%d,sub=%s,sig=%s", ts, sub, sig) }
	}
	unnamed := func(ts int64, sig string) string { return fmt.Sprintf("Orga-HMAC ts=%d,sig=%s", ts, sig) }
	every := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~:@|+-"
	for _, tt := range []struct {
		name    string
		signed  string
		header  func(int64, string) string
		subject string
		ok      bool
	}{
		{"none", "", unnamed, "", true},
		{"an id", "user-7", named("user-7"), "user-7", true},
		{"an address", "ada+voice@app.example", named("ada+voice@app.example"), "ada+voice@app.example", true},
		{"every character", every, named(every), every, true},
		{"128 characters", strings.Repeat("x", 128), named(strings.Repeat("x", 128)), strings.Repeat("x", 128), true},
		{"129 characters", strings.Repeat("x", 129), named(strings.Repeat("x", 129)), "", false},
		{"named and not signed", "", named("ada"), "", false},
		{"signed and not named", "ada", unnamed, "", false},
		{"signed as another", "ada", named("eve"), "", false},
		{"in another case", "ada", named("Ada"), "", false},
		{"empty", "", named(""), "", false},
		{"a space", "a b", named("a b"), "", false},
		{"a comma", "a,b", named("a,b"), "", false},
		{"an equals sign", "a=b", named("a=b"), "", false},
		{"a line break", "a\nb", named("a\nb"), "", false},
		{"no ASCII", "adä", named("adä"), "", false},
		{"twice", "ada", func(ts int64, sig string) string {
			return fmt.Sprintf("Orga-HMAC ts=%d,sub=ada,sub=ada,sig=%s", ts, sig)
		}, "", false},
		{"before ts", "ada", func(ts int64, sig string) string { return fmt.Sprintf("Orga-HMAC sub=ada,ts=%d,sig=%s", ts, sig) }, "", false},
		{"after sig", "ada", func(ts int64, sig string) string { return fmt.Sprintf("Orga-HMAC ts=%d,sig=%s,sub=ada", ts, sig) }, "", false},
		{"in capitals", "ada", func(ts int64, sig string) string { return fmt.Sprintf("Orga-HMAC ts=%d,SUB=ada,sig=%s", ts, sig) }, "", false},
	} {
		p, err := access.HMAC(keysOf(key)).Verify(requesttest.New("Authorization", signSubject(key, tt.signed, time.Now(), tt.header)))
		if (err == nil) != tt.ok || p.Subject != tt.subject || p.PathSigned != tt.ok {
			t.Errorf("%s: %+v, %v", tt.name, p, err)
		}
	}
}

// The cause in the log says what is wrong with a header, without quoting it.
func TestHMACCauses(t *testing.T) {
	const key = "key-of-a-test-0123456789abcdef0123"
	ts, hexes := fmt.Sprint(time.Now().Unix()), strings.Repeat("0", 64)
	for header, want := range map[string]string{
		"Bearer x": "no accepted credential", "Orga-HMAC": "no accepted credential",
		"Orga-HMAC ts=" + ts: "not of the form", "Orga-HMAC sig=" + hexes: "not of the form", "Orga-HMAC ts=,sig=" + hexes: "not of the form",
		"Orga-HMAC ts=now,sig=" + hexes: "not of the form", "Orga-HMAC ts=-1,sig=" + hexes: "not of the form",
		"Orga-HMAC ts=9223372036854775808,sig=" + hexes: "not of the form",
		"Orga-HMAC ts=" + ts + ",sig=" + hexes[1:]:      "not of the form", "Orga-HMAC ts=" + ts + ",sig=" + hexes + "0": "not of the form",
		"Orga-HMAC ts=" + ts + ",sig=x" + hexes[1:]: "not of the form", "Orga-HMAC ts=" + ts + ",sub=,sig=" + hexes: "not of the form",
		"Orga-HMAC ts=9223372036854775807,sig=" + hexes: "5 minutes", "Orga-HMAC ts=0,sig=" + hexes: "5 minutes",
		"Orga-HMAC ts=" + ts + ",sig=" + hexes: "does not match", "Orga-HMAC ts=" + ts + ",sub=a,sig=" + hexes: "does not match",
	} {
		if _, err := access.HMAC(keysOf(key)).Verify(requesttest.New("Authorization", header)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), hexes) {
			t.Errorf("%s: %v, want %q", header, err, want)
		}
	}
}

// fault 62: the signed subject is the caller, whatever the address.
func TestHMACSubjectIsTheCaller(t *testing.T) {
	const key = "key-of-a-test-0123456789abcdef0123"
	callers := make(map[string]bool)
	h := access.Require(access.Options{Methods: []access.Method{access.HMAC(keysOf(key))}})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		x := request.From(r.Context())
		if callers[x.Caller] = true; x.Auth != "hmac" {
			t.Errorf("the method is %q", x.Auth)
		}
	}))
	for i := range 100 {
		r := requesttest.New()
		r.RemoteAddr = fmt.Sprintf("203.0.113.%d:1234", i)
		if err := auth.SignRequest(r, key, "ada"); err != nil {
			t.Fatal(err)
		}
		requesttest.Serve(h, r)
	}
	if len(callers) != 1 || callers[""] {
		t.Errorf("the callers are %v", callers)
	}
}

// fault 61: HMAC keys are one or two lines, each with the form of a key.
func TestCheckHMACKeys(t *testing.T) {
	const key = "0123456789abcdefABCDEF+/=_-xyzXY"
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"one", key, true},
		{"two", key + "\n" + key, true},
		{"a line break at the end", key + "\n", true},
		{"line breaks of Windows", key + "\r\n" + key + "\r\n", true},
		{"spaces around", " " + key + " \n\t" + key + " ", true},
		{"64 characters", key + key, true},
		{"31 characters", key[1:], false},
		{"a short second line", key + "\n" + key[1:], false},
		{"a short first line", key[1:] + "\n" + key, false},
		{"three", key + "\n" + key + "\n" + key, false},
		{"an empty line between", key + "\n\n" + key, false},
		{"a comment", "# " + key + "\n" + key, false},
		{"a comment after it", key + " # of the backend", false},
		{"a PEM file", "-----BEGIN EC PRIVATE KEY-----\n" + key + "\n-----END EC PRIVATE KEY-----", false},
		{"a PEM line", "-----BEGIN EC PRIVATE KEY-----", false},
		{"JSON", `{"key":"` + key + `"}`, false},
		{"a name before it", "KEY:" + key, false},
		{"no ASCII", key + "é", false},
		{"nothing", "", false},
		{"a line break", "\n", false},
	} {
		err := access.CheckHMACKeys(tt.text)
		if (err == nil) != tt.ok || err != nil && strings.Contains(err.Error(), key[1:]) {
			t.Errorf("%s: %v", tt.name, err)
		}
		h, m := whole(access.HMAC(keysOf(tt.text)))
		first, _, _ := strings.Cut(strings.TrimSpace(tt.text), "\n")
		code := requesttest.Code(t, requesttest.Serve(h, requesttest.New("Authorization", sign(strings.TrimSpace(first), "GET", mintPath, time.Now()))))
		if want := map[bool]string{true: "", false: "misconfigured"}[tt.ok]; code != want || (m.N == 1) != tt.ok {
			t.Errorf("%s: signed with the first line: code %q", tt.name, code)
		}
	}
}

// fault 66: a tenant's own keys accept nobody else's signatures.
func TestHMACKeysOfTwoTenants(t *testing.T) {
	keys := map[string]string{"acme": strings.Repeat("acme", 8), "other": strings.Repeat("other", 8)}
	for tenant, key := range keys {
		require := access.Require(access.Options{Methods: []access.Method{access.HMAC(keysOf(key))}, Claim: claim("org"), Tenant: tenant})
		for signer, signing := range keys {
			m := new(requesttest.Minted)
			r := httptest.NewRequest(http.MethodGet, mintPath+"/"+tenant, nil)
			if err := auth.SignRequest(r, signing, "ada"); err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "", false: "unauthenticated"}[signer == tenant]
			if got := requesttest.Code(t, requesttest.Serve(require(m), r)); got != want {
				t.Errorf("%s signs for %s: code %q, want %q", signer, tenant, got, want)
			}
		}
	}
}

func TestSignRequest(t *testing.T) {
	const key = "key-of-a-test-0123456789abcdef0123"
	var principal auth.Principal
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if principal, err = access.HMAC(keysOf(key)).Verify(r); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	for _, path := range []string{"", "/", "/api/orga-client-secrets", "/a%2Fb", "/a b", "/ä?x=1", "/a/?q=/b", "//a"} {
		for _, subject := range []string{"", "ada"} {
			for _, method := range []string{"", http.MethodGet, http.MethodPost} {
				r := must(http.NewRequestWithContext(t.Context(), method, server.URL+path, nil))
				r.Method = method
				if err := auth.SignRequest(r, key, subject); err != nil {
					t.Fatal(err)
				}
				resp := must(server.Client().Do(r))
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK || principal.Subject != subject {
					t.Errorf("%q %q for %q: %d %+v", method, path, subject, resp.StatusCode, principal)
				}
			}
		}
	}
	for _, tt := range []struct{ key, subject, want string }{
		{"short", "", "key"}, {"", "", "key"}, {key + "\n" + key, "", "key"}, {key, "a b", "subject"}, {key, strings.Repeat("x", 129), "subject"},
	} {
		r := requesttest.New()
		err := auth.SignRequest(r, tt.key, tt.subject)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), key) || r.Header.Get("Authorization") != "" {
			t.Errorf("%q, %q: %v", tt.key, tt.subject, err)
		}
	}
}
