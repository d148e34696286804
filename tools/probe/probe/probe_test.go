package probe

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestNothingWrong(t *testing.T) {
	for name, origin := range map[string]string{"its own page": "", "a listed page": page} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t)
			r := e.probe(t, Options{Origin: origin})
			if r.Outcome != Works || len(problems(r, Fail)) > 0 || len(problems(r, Warn)) > 0 {
				t.Errorf("%s: %+v", r.Outcome, r.Checks)
			}
			if n := int(e.mints.Load()); n != 2 || r.Mints != n {
				t.Errorf("%d mints, %d reported; want 2", n, r.Mints)
			}
			want := []string{"stun stun", "turn turn udp", "turn turn tcp", "turn turns tcp"}
			for _, w := range want {
				if !slices.Contains(problems(r, OK), w) {
					t.Errorf("no %q among %q", w, problems(r, OK))
				}
			}
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	e := newEndpoint(t)
	e.turn.credential = "wrong-" + turnPass
	r := e.probe(t, Options{
		URL: strings.Replace(e.URL, "://", "://user:password-in-url@", 1) + DefaultPath + "?key=key-in-query", Origin: page,
		Header: map[string][]string{"Authorization": {"Bearer header-secret"}},
	})
	var out bytes.Buffer
	if err := r.Print(&out, true); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asJSON)
	for _, secret := range []string{
		turnPass, turnUser, "password-in-url", "key-in-query", "header-secret",
		token(1, 0)[:12], "c2lnbmF0dXJl",
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is shown:\n%s", secret, out.String())
		}
	}
}

// TestJSONIsStable checks the members that programs read. Members may be added here, but not removed.
func TestJSONIsStable(t *testing.T) {
	e := newEndpoint(t)
	e.before = answers(429, "application/problem+json", `{"code":"rate_limited","requestId":"r1"}`, "Retry-After", "7")
	asJSON, err := json.Marshal(e.probe(t, Options{Origin: page}))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(asJSON, &got); err != nil {
		t.Fatal(err)
	}
	has := func(m map[string]any, keys ...string) {
		t.Helper()
		for _, k := range keys {
			if _, ok := m[k]; !ok {
				t.Errorf("no %q in %v", k, m)
			}
		}
	}
	has(got, "url", "origin", "outcome", "checks", "mints", "timing")
	has(got["timing"].(map[string]any), "dns", "connect", "tls", "firstByte", "total")
	var ids []string
	for _, c := range got["checks"].([]any) {
		check := c.(map[string]any)
		has(check, "id", "status", "detail")
		ids = append(ids, check["id"].(string))
		if check["id"] == "status" {
			has(check, "code", "requestId", "remedy")
		}
	}
	if !slices.Equal(ids, IDs()) {
		t.Errorf("checks %q, want %q", ids, IDs())
	}
}

// Whatever an endpoint answers, the report is valid JSON, and no number overflows.
func TestAbsurdNumbers(t *testing.T) {
	e := newEndpoint(t)
	e.config = func(c map[string]any, _ int) { c["expiresIn"] = 1e300; delete(c, "expiresAt") }
	e.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Add("Server-Timing", "token;dur=NaN, ice;dur=Inf, secret;dur=-1")
		return false
	}
	r := e.probe(t, Options{})
	if r.Outcome != Works {
		t.Errorf("%s: %q", r.Outcome, problems(r, Fail))
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestCannotRun(t *testing.T) {
	for name, o := range map[string]Options{
		"no address":             {URL: "localhost"},
		"another scheme":         {URL: "ftp://localhost/"},
		"a name nobody has":      {URL: "https://no-such-host.invalid/"},
		"an origin with a path":  {URL: "https://localhost/", Origin: "https://app.example/page"},
		"an origin of a sandbox": {URL: "https://localhost/", Origin: "null"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := Run(t.Context(), o); r.Outcome != NotRun || r.Reason == "" || len(r.Checks) != len(IDs()) {
				t.Errorf("%s %q, want not_run, why, and each check skipped", r.Outcome, r.Reason)
			}
		})
	}
}
