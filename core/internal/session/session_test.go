package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret"
)

// rig is an endpoint without policy, the Orga behind it and the store of its key. It lives in a
// synctest bubble.
type rig struct {
	http.Handler
	api     *orgatest.API
	key     atomic.Pointer[string] // in the store
	fetches atomic.Int64           // from the store

	mu  sync.Mutex
	log bytes.Buffer
}

func newRig(t *testing.T) *rig {
	r := &rig{api: new(orgatest.API)}
	t.Cleanup(func() { time.Sleep(time.Second) }) // a fetch belongs to no request: let it end
	r.key.Store(new(orgatest.Key))
	log := slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
	source := secret.SourceFunc(func(context.Context) (secret.Secret, error) {
		r.fetches.Add(1)
		time.Sleep(20 * time.Millisecond)
		key := *r.key.Load()
		return secret.Secret{Value: secret.NewValue(key), Version: secret.Version(key[len(key)-1:])}, nil
	})
	h := session.Handler(&session.Service{
		Key:  secret.NewCache(source, secret.CacheOptions{Name: "test", TTL: time.Hour, Log: log}),
		Orga: orga.NewClient("", orga.WithTransport(orgatest.Pipe(t, r.api)), orga.WithLogger(log)),
		Log:  log,
	})
	r.Handler = request.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := session.Budget(req.Context(), 8*time.Second)
		defer cancel()
		h.ServeHTTP(w, req.WithContext(ctx))
	}), log)
	return r
}

// Write is the log.
func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// answer is what a client got, and when.
type answer struct {
	*httptest.ResponseRecorder
	Token      string            `json:"ephemeralToken"`
	ICEServers []json.RawMessage `json:"iceServers"`
	Problem    string            `json:"code"`
	took       time.Duration
}

func (r *rig) get(ctx context.Context) answer {
	a := answer{ResponseRecorder: httptest.NewRecorder()}
	start := time.Now()
	r.ServeHTTP(a, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/orga-client-secrets", nil))
	a.took = time.Since(start)
	_ = json.Unmarshal(a.Body.Bytes(), &a) // what is missing shows in the checks
	return a
}

// quiet checks that neither a key nor a token is in the log, raw or encoded, and that an answer has
// nothing but its own token.
func (r *rig) quiet(t *testing.T, a answer) {
	t.Helper()
	log := r.logged()
	all := log + a.Body.String()
	for _, secret := range append(r.api.Tokens(), orgatest.Key, *r.key.Load()) {
		if secret == a.Token {
			all = log
		}
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(all, form) {
				t.Errorf("a secret is in the answer or the log:\n%s\n%s", a.Body, log)
			}
		}
	}
	if a.Code != http.StatusOK && (strings.Contains(a.Body.String(), "ephemeralToken") || strings.Contains(a.Body.String(), "iceServers")) {
		t.Errorf("an error looks like an answer: %s", a.Body)
	}
}

var serverTiming = regexp.MustCompile(`^secret;dur=[24]0\.0, token;dur=\d+\.\d, ice;dur=\d+\.\d$`)

func repeat(h http.Handler, n int) []http.Handler {
	var list []http.Handler
	for range n {
		list = append(list, h)
	}
	return list
}

// What becomes of each failure of Orga's: won back where the time allows, else told apart.
func TestUpstream(t *testing.T) {
	const ok, ever = "", 99
	inSeconds := func(n int) string { // the bubble's clock starts then
		return time.Date(2000, 1, 1, 0, 0, n, 0, time.UTC).Format(http.TimeFormat)
	}
	hang, reset, status := orgatest.Hang(), orgatest.Reset(), orgatest.Status
	refuse := status(401, orgatest.ErrorBody("invalid_token", "no"))
	type row struct {
		name       string
		call       orga.Call
		fault      http.Handler
		times      int
		code       string // of the problem; ok for 200
		status     int
		mints, ice int
		retryAfter string
		min, max   time.Duration // until the answer
	}
	rows := []row{
		{"nothing", orga.CallMint, nil, 0, ok, 200, 1, 1, "", 0, 20 * time.Millisecond},

		{"closed twice", orga.CallMint, orgatest.Close(), 2, ok, 200, 3, 1, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"reset twice", orga.CallMint, reset, 2, ok, 200, 3, 1, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"reset ever", orga.CallMint, reset, ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"cut off", orga.CallMint, orgatest.Truncate(), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"500 twice", orga.CallMint, status(500, ""), 2, ok, 200, 3, 1, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"500 ever", orga.CallMint, status(500, ""), ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"502", orga.CallMint, status(502, "<html>"), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"504", orga.CallMint, status(504, ""), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"503", orga.CallMint, status(503, ""), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"503 ever", orga.CallMint, status(503, ""), ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 700 * time.Millisecond},

		{"fault 38: swallowed", orga.CallMint, hang, 1, ok, 200, 2, 1, "", 3 * time.Second, 3300 * time.Millisecond},
		{"fault 38: swallowed twice", orga.CallMint, hang, 2, ok, 200, 3, 1, "", 5 * time.Second, 7 * time.Second},
		{"fault 38: swallowed halfway", orga.CallMint, orgatest.HangBody(), 1, ok, 200, 2, 1, "", 3 * time.Second, 3300 * time.Millisecond},
		{"fault 38: swallowed ICE", orga.CallICE, hang, 1, ok, 200, 1, 2, "", 3 * time.Second, 3300 * time.Millisecond},
		{"silent ever", orga.CallMint, hang, ever, "timeout", 504, 3, 0, "", 7 * time.Second, 7500 * time.Millisecond},
		{"silent ever ICE", orga.CallICE, hang, ever, "timeout", 504, 1, 3, "", 7 * time.Second, 7500 * time.Millisecond},

		{"fault 40: ICE 500 twice", orga.CallICE, status(500, ""), 2, ok, 200, 1, 3, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"fault 40: ICE 500 ever", orga.CallICE, status(500, ""), ever, "upstream_error", 502, 1, 3, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"fault 40: ICE 401", orga.CallICE, refuse, 1, ok, 200, 2, 2, "", 0, 20 * time.Millisecond},
		{"fault 40: ICE 401 ever", orga.CallICE, refuse, ever, "upstream_error", 502, 2, 2, "", 0, 20 * time.Millisecond},
		{"fault 40: ICE 403", orga.CallICE, status(403, ""), ever, "upstream_error", 502, 1, 1, "", 0, 20 * time.Millisecond},

		{"fault 41: 429 in seconds", orga.CallMint, status(429, "", "Retry-After", "2"), 1, ok, 200, 2, 1, "", 2 * time.Second, 2200 * time.Millisecond},
		{"fault 41: 429 as a date", orga.CallMint, status(429, "", "Retry-After", inSeconds(3)), 1, ok, 200, 2, 1, "", 2 * time.Second, 3200 * time.Millisecond},
		{"fault 41: 429 now", orga.CallMint, status(429, "", "Retry-After", "0"), 1, ok, 200, 2, 1, "", time.Second, 1200 * time.Millisecond},
		{"fault 41: 429 a day", orga.CallMint, status(429, "", "Retry-After", "86400"), 1, "upstream_rate_limited", 503, 1, 0, "120", 0, 20 * time.Millisecond},
		{"fault 41: 429 a date in a day", orga.CallMint, status(429, "", "Retry-After", inSeconds(86400)), 1, "upstream_rate_limited", 503, 1, 0, "120", 0, 20 * time.Millisecond},
		{"fault 41: 429 does not fit", orga.CallMint, status(429, "", "Retry-After", "8"), 1, "upstream_rate_limited", 503, 1, 0, "8", 0, 20 * time.Millisecond},
		{"fault 41: 429 a date in a thousand years", orga.CallMint, status(429, "", "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), ever, "upstream_rate_limited", 503, 1, 0, "120", 0, 20 * time.Millisecond},
		{"fault 41: 429 leaves no time for the ICE call", orga.CallMint, status(429, "", "Retry-After", "7"), 1, "upstream_rate_limited", 503, 1, 0, "7", 0, 20 * time.Millisecond},
		{"fault 41: 429 leaves just enough", orga.CallMint, status(429, "", "Retry-After", "6"), 1, ok, 200, 2, 1, "", 6 * time.Second, 6200 * time.Millisecond},
		{"fault 41: 429 overflows", orga.CallMint, status(429, "", "Retry-After", "99999999999999999999"), ever, "upstream_rate_limited", 503, 1, 0, "120", 0, 20 * time.Millisecond},
		{"fault 41: ICE 503 overflows", orga.CallICE, status(503, "", "Retry-After", "9223372036854775807"), ever, "upstream_rate_limited", 503, 1, 1, "120", 0, 20 * time.Millisecond},
		{"fault 41: 429 garbage", orga.CallMint, status(429, "", "Retry-After", "soon"), 1, "upstream_rate_limited", 503, 1, 0, "5", 0, 20 * time.Millisecond},
		{"fault 41: 429 without", orga.CallMint, status(429, ""), 1, "upstream_rate_limited", 503, 1, 0, "5", 0, 20 * time.Millisecond},
		{"fault 41: 503 in seconds", orga.CallMint, status(503, "", "Retry-After", "2"), 1, ok, 200, 2, 1, "", 2 * time.Second, 2200 * time.Millisecond},
		{"fault 41: 503 a day", orga.CallMint, status(503, "", "Retry-After", "86400"), 1, "upstream_rate_limited", 503, 1, 0, "120", 0, 20 * time.Millisecond},
		{"fault 41: 503 garbage", orga.CallMint, status(503, "", "Retry-After", "soon"), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"fault 41: 500 a day", orga.CallMint, status(500, "", "Retry-After", "86400"), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"fault 41: 502 a day", orga.CallMint, status(502, "", "Retry-After", "86400"), ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"fault 41: ICE 429", orga.CallICE, status(429, "", "Retry-After", "1"), 1, ok, 200, 1, 2, "", time.Second, 1200 * time.Millisecond},

		{"fault 42: redirect", orga.CallMint, orgatest.Redirect("https://elsewhere.example/"), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 42: ICE redirect", orga.CallICE, orgatest.Redirect("https://elsewhere.example/"), ever, "upstream_error", 502, 1, 1, "", 0, 20 * time.Millisecond},
		{"fault 43: HTML", orga.CallMint, orgatest.HTML(), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 43: 100 MB", orga.CallMint, orgatest.Flood(), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 43: gzip bomb", orga.CallICE, orgatest.GzipBomb(), ever, "upstream_error", 502, 1, 1, "", 0, 20 * time.Millisecond},
		{"fault 45: 400 repeats the key", orga.CallMint, orgatest.Repeat(400), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 45: 500 repeats the key", orga.CallMint, orgatest.Repeat(500), ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 700 * time.Millisecond},
		{"fault 45: ICE 400 repeats the token", orga.CallICE, orgatest.Repeat(400), ever, "upstream_error", 502, 1, 1, "", 0, 20 * time.Millisecond},

		{"fault 46: the token repeats the key", orga.CallMint, status(200, `{"ephemeral_token":"for `+orgatest.Key+`"}`), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 46: an ICE server repeats the key", orga.CallICE, status(200, `[{"urls":"turn:t","credential":"`+hex.EncodeToString([]byte(orgatest.Key))+`"}]`), ever, "upstream_error", 502, 1, 1, "", 0, 20 * time.Millisecond},

		{"401 ever", orga.CallMint, orgatest.Repeat(401), ever, "upstream_auth_failed", 502, 1, 0, "", 0, 40 * time.Millisecond},
		{"403 ever", orga.CallMint, orgatest.Repeat(403), ever, "upstream_auth_failed", 502, 1, 0, "", 0, 40 * time.Millisecond},
		{"101", orga.CallMint, orgatest.Upgrade(), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"404", orga.CallMint, status(404, ""), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"422", orga.CallMint, status(422, ""), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
	}
	for _, s := range orgatest.BadMints {
		rows = append(rows, row{"no token: " + s.Name, orga.CallMint, status(200, s.Body), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond})
	}
	for _, s := range orgatest.BadICE {
		rows = append(rows, row{"no ICE: " + s.Name, orga.CallICE, status(200, s.Body), ever, "upstream_error", 502, 1, 1, "", 0, 20 * time.Millisecond})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.api.Fail(row.call, repeat(row.fault, row.times)...)
				a := r.get(t.Context())
				if a.Problem != row.code || a.Code != row.status || a.Header().Get("Retry-After") != row.retryAfter {
					t.Errorf("%d %q, Retry-After %q", a.Code, a.Problem, a.Header().Get("Retry-After"))
				}
				if a.took < row.min || a.took > row.max {
					t.Errorf("took %v", a.took)
				}
				if m, i := r.api.Calls(orga.CallMint), r.api.Calls(orga.CallICE); m != row.mints || i != row.ice {
					t.Errorf("%d mints, %d ICE calls; want %d, %d", m, i, row.mints, row.ice)
				}
				if row.code == ok {
					// The last token that was minted, with its own servers.
					tokens := r.api.Tokens()
					_, credential := orgatest.Credential(a.Token)
					if a.Token != tokens[len(tokens)-1] || len(a.ICEServers) != 2 || !strings.Contains(string(a.ICEServers[1]), credential) {
						t.Errorf("token and ICE servers do not belong together: %s", a.Body)
					}
				}
				if !serverTiming.MatchString(a.Header().Get("Server-Timing")) {
					t.Errorf("Server-Timing: %q", a.Header().Get("Server-Timing"))
				}
				r.quiet(t, a)

				// The next request is clean, on whatever connection it goes.
				r.api.Fail(row.call, nil)
				if row.times < ever {
					if a := r.get(t.Context()); a.Code != 200 || a.took > 0 {
						t.Errorf("the next one: %d in %v", a.Code, a.took)
					}
				}
			})
		})
	}
}

// The cause in the log names what is to be changed.
func TestCauses(t *testing.T) {
	for name, row := range map[string]struct {
		call  orga.Call
		fault http.Handler
		cause string
	}{
		"fault 84: ICE 401 twice": {orga.CallICE, orgatest.Status(401, orgatest.ErrorBody("invalid_token", "")), "orga ice: credential rejected (status 401, code invalid_token): the new token, not the API key"},
		"401":                     {orga.CallMint, orgatest.Status(401, ""), "orga mint: credential rejected (status 401): the API key"},
		"404 not_found_error":     {orga.CallMint, orgatest.Status(404, `{"error":{"message":"no user","type":"not_found_error"}}`), "ORGA_USER_EMAIL: orga mint: request rejected: unknown email (status 404, code not_found_error)"},
		"404":                     {orga.CallMint, orgatest.Status(404, orgatest.ErrorBody("not_found", "")), "orga mint: request rejected (status 404, code not_found)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.api.FailAll(row.call, row.fault)
				if a := r.get(t.Context()); a.Code != http.StatusBadGateway || !strings.Contains(r.logged(), `"cause":"`+row.cause) {
					t.Errorf("%d\n%s", a.Code, r.logged())
				}
			})
		})
	}
}

// The platform's deadline wins when it is nearer, and leaves time to answer.
func TestBudget(t *testing.T) {
	for name, row := range map[string]struct{ left, spare, atLeast time.Duration }{
		"fault 39: 4 s left":  {4 * time.Second, 500 * time.Millisecond, 2 * time.Second},
		"a second left":       {time.Second, 250 * time.Millisecond, 300 * time.Millisecond},
		"60 s: our 8 s win":   {60 * time.Second, 52*time.Second + 500*time.Millisecond, 7 * time.Second},
		"nothing left at all": {0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.api.FailAll(orga.CallMint, orgatest.Hang())
				ctx, cancel := context.WithTimeout(t.Context(), row.left)
				defer cancel()
				a := r.get(ctx)
				if a.Code != 504 || a.Problem != "timeout" || a.took < row.atLeast || a.took > row.left-row.spare {
					t.Errorf("%d %s after %v", a.Code, a.Problem, a.took)
				}
			})
		})
	}
	t.Run("a slow store leaves time for the calls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.api.Fail(orga.CallMint, orgatest.Hang())
			r.api.Delay = 300 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			if a := r.get(ctx); a.Code != 200 || a.took > 3500*time.Millisecond {
				t.Errorf("%d %s after %v", a.Code, a.Problem, a.took)
			}
		})
	})
}

// fault 9: the key is replaced, Orga answers 401 to the old one. Nobody sees it, and the store is asked
// once however many notice.
func TestRotation(t *testing.T) {
	for _, status := range []int{401, 403} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			if a := r.get(t.Context()); a.Code != 200 {
				t.Fatal(a.Code)
			}
			const second = orga.KeyPrefix + "second2"
			r.key.Store(new(second))
			old := orgatest.Status(status, orgatest.ErrorBody("invalid_api_key", "no"))
			r.api.Intercept = func(_ orga.Call, req *http.Request) http.Handler {
				if req.Header.Get("Authorization") == "Bearer "+orgatest.Key {
					return old
				}
				return nil
			}
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if a := r.get(t.Context()); a.Code != 200 {
						t.Errorf("%d %s", a.Code, a.Problem)
					}
				})
			}
			wg.Wait()
			if got := r.fetches.Load(); got != 2 {
				t.Errorf("after %d: %d fetches, want the first and the forced one", status, got)
			}
			r.quiet(t, r.get(t.Context()))
		})
	}
}

// fault 10: 401, and the store still has the same key. The next forced refresh comes 30 s later; a key
// that is good again by then is used.
func TestSameKeyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.AcceptKeys(orga.KeyPrefix + "second2")
		for _, step := range []struct {
			wait    time.Duration
			code    int
			fetches int64
		}{
			{0, 502, 2},
			{time.Second, 502, 2},
			{20 * time.Second, 502, 2},
			{10 * time.Second, 200, 3},
			{0, 200, 3},
		} {
			time.Sleep(step.wait)
			if step.code == 200 {
				r.key.Store(new(orga.KeyPrefix + "second2"))
			}
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					a := r.get(t.Context())
					if a.Code != step.code || a.Code == 502 && a.Problem != "upstream_auth_failed" {
						t.Errorf("%d %s, want %d", a.Code, a.Problem, step.code)
					}
				})
			}
			wg.Wait()
			if got := r.fetches.Load(); got != step.fetches {
				t.Errorf("%d fetches, want %d", got, step.fetches)
			}
		}
	})
}

// A client that goes away ends its own calls, and is no alarm.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.FailAll(orga.CallMint, orgatest.Hang())
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		a := r.get(ctx)
		if a.took != time.Second || r.api.Calls(orga.CallMint) != 1 {
			t.Errorf("ended after %v and %d calls", a.took, r.api.Calls(orga.CallMint))
		}
		if log := r.logged(); !strings.Contains(log, `"level":"INFO","msg":"request"`) || !strings.Contains(log, `"code":"client_gone"`) {
			t.Error(log)
		}
	})
}

// An empty list is handed on, and the log says what that means.
func TestNoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.Fail(orga.CallICE, orgatest.Status(200, `{"iceServers":[]}`))
		a := r.get(t.Context())
		if a.Code != 200 || a.ICEServers == nil || len(a.ICEServers) != 0 || strings.Count(r.logged(), `"level":"WARN"`) != 1 {
			t.Errorf("%d %s\n%s", a.Code, a.Body, r.logged())
		}
	})
}
