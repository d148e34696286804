package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret"
)

// rig is an endpoint without policies, with a fake Orga and a key store, in a synctest bubble.
type rig struct {
	http.Handler
	api     *orgatest.API
	key     atomic.Pointer[string] // in the store
	down    atomic.Bool            // the store
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
		if r.down.Load() {
			return secret.Secret{}, errors.New("the store is down")
		}
		key := *r.key.Load()
		return secret.Secret{Value: secret.NewValue(key), Version: secret.Version(key[len(key)-1:])}, nil
	})
	h := session.Handler(&session.Service{
		Key:  secretcache.New(source, secretcache.Options{Name: "test", TTL: time.Hour, Log: log}),
		Orga: orga.NewClient("", orga.WithTransport(orgatest.Pipe(t, r.api)), orga.WithLogger(log)),
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

// answer is a response, and when it arrived.
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

// quiet checks that the log contains no key or token, raw or encoded, and the answer only its own token.
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

var serverTiming = regexp.MustCompile(`^secret;dur=([24]0\.0), token;dur=(\d+\.\d), ice;dur=(\d+\.\d)$`)

// timed returns the sum of the times in Server-Timing, or -1 if it is malformed.
func (a answer) timed() time.Duration {
	parts := serverTiming.FindStringSubmatch(a.Header().Get("Server-Timing"))
	if parts == nil {
		return -1
	}
	var sum float64
	for _, part := range parts[1:] {
		ms, _ := strconv.ParseFloat(part, 64) // the expression matches only numbers
		sum += ms
	}
	return time.Duration(sum * float64(time.Millisecond))
}

func repeat(h http.Handler, n int) []http.Handler {
	var list []http.Handler
	for range n {
		list = append(list, h)
	}
	return list
}

// Each failure of Orga is retried if the time allows, and otherwise reported by its kind.
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

		{"closed twice", orga.CallMint, orgatest.Close(), 2, ok, 200, 3, 1, "", 200 * time.Millisecond, 620 * time.Millisecond},
		{"reset twice", orga.CallMint, reset, 2, ok, 200, 3, 1, "", 200 * time.Millisecond, 620 * time.Millisecond},
		{"reset ever", orga.CallMint, reset, ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 620 * time.Millisecond},
		{"cut off", orga.CallMint, orgatest.Truncate(), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"500 twice", orga.CallMint, status(500, ""), 2, ok, 200, 3, 1, "", 200 * time.Millisecond, 620 * time.Millisecond},
		{"500 ever", orga.CallMint, status(500, ""), ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 620 * time.Millisecond},
		{"502", orga.CallMint, status(502, "<html>"), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"504", orga.CallMint, status(504, ""), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"503", orga.CallMint, status(503, ""), 1, ok, 200, 2, 1, "", 50 * time.Millisecond, 250 * time.Millisecond},
		{"503 ever", orga.CallMint, status(503, ""), ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 620 * time.Millisecond},

		{"fault 38: silent", orga.CallMint, hang, 1, ok, 200, 2, 1, "", 3 * time.Second, 3300 * time.Millisecond},
		{"fault 38: silent twice", orga.CallMint, hang, 2, ok, 200, 3, 1, "", 5 * time.Second, 7 * time.Second},
		{"fault 38: silent halfway", orga.CallMint, orgatest.HangBody(), 1, ok, 200, 2, 1, "", 3 * time.Second, 3300 * time.Millisecond},
		{"fault 38: silent ICE", orga.CallICE, hang, 1, ok, 200, 1, 2, "", 3 * time.Second, 3300 * time.Millisecond},
		{"silent ever", orga.CallMint, hang, ever, "timeout", 504, 3, 0, "", 7 * time.Second, 7500 * time.Millisecond},
		{"silent ever ICE", orga.CallICE, hang, ever, "timeout", 504, 1, 3, "", 7 * time.Second, 7500 * time.Millisecond},

		{"fault 40: ICE 500 twice", orga.CallICE, status(500, ""), 2, ok, 200, 1, 3, "", 200 * time.Millisecond, 620 * time.Millisecond},
		{"fault 40: ICE 500 ever", orga.CallICE, status(500, ""), ever, "upstream_error", 502, 1, 3, "", 200 * time.Millisecond, 620 * time.Millisecond},
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
		{"fault 41: 502 a day", orga.CallMint, status(502, "", "Retry-After", "86400"), ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 620 * time.Millisecond},
		{"fault 41: ICE 429", orga.CallICE, status(429, "", "Retry-After", "1"), 1, ok, 200, 1, 2, "", time.Second, 1200 * time.Millisecond},

		{"fault 42: redirect", orga.CallMint, orgatest.Redirect("https://elsewhere.example/"), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 42: ICE redirect", orga.CallICE, orgatest.Redirect("https://elsewhere.example/"), ever, "upstream_error", 502, 1, 1, "", 0, 20 * time.Millisecond},
		{"fault 43: HTML", orga.CallMint, orgatest.HTML(), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 43: 100 MB", orga.CallMint, orgatest.Flood(), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 43: gzip bomb", orga.CallICE, orgatest.GzipBomb(), ever, "upstream_error", 502, 1, 1, "", 0, 20 * time.Millisecond},
		{"fault 45: 400 repeats the key", orga.CallMint, orgatest.Repeat(400), ever, "upstream_error", 502, 1, 0, "", 0, 20 * time.Millisecond},
		{"fault 45: 500 repeats the key", orga.CallMint, orgatest.Repeat(500), ever, "upstream_error", 502, 3, 0, "", 200 * time.Millisecond, 620 * time.Millisecond},
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
					// The last minted token, with its own servers.
					tokens := r.api.Tokens()
					_, credential := orgatest.Credential(a.Token)
					if a.Token != tokens[len(tokens)-1] || len(a.ICEServers) != 2 || !strings.Contains(string(a.ICEServers[1]), credential) {
						t.Errorf("token and ICE servers do not belong together: %s", a.Body)
					}
				}
				if (a.took - a.timed()).Abs() > time.Millisecond {
					t.Errorf("Server-Timing: %q, in %v", a.Header().Get("Server-Timing"), a.took)
				}
				r.quiet(t, a)

				// The next request is unaffected, on any connection.
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

// The cause in the log says what to change.
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

// An earlier deadline of the platform applies, and leaves time to answer.
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
	t.Run("an attempt takes at most half of a small budget", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.get(t.Context()) // fetches the key
			r.api.Fail(orga.CallMint, orgatest.Hang())
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			// Half of 1.5 s, and a wait of 100 ms ±50 %.
			if a := r.get(ctx); a.Code != 200 || a.took < 800*time.Millisecond || a.took > 900*time.Millisecond {
				t.Errorf("%d %s after %v", a.Code, a.Problem, a.took)
			}
		})
	})
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

// fault 9: the key was replaced, and Orga answers 401 to the old one. No caller notices, and the store is asked once,
// however many requests are affected.
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
			if log := r.logged(); !strings.Contains(log, `"level":"DEBUG","msg":"key refreshed"`) {
				t.Error(log)
			}
			r.quiet(t, r.get(t.Context()))
		})
	}
}

// fault 10: 401, and the store still has the same key. The next forced refresh is 30 s later; a key that has become valid
// meanwhile is used.
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

// When a client disconnects, its own calls end, without an alarm.
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
		if log := r.logged(); !strings.Contains(log, `"level":"INFO","msg":"request"`) || !strings.Contains(log, `"error.type":"client_gone"`) {
			t.Error(log)
		}
	})
}

// fault 83: a token that has expired, or is about to, is passed on, with a warning and a metric.
func TestShortLivedToken(t *testing.T) {
	for ttl, warned := range map[time.Duration]bool{
		-time.Minute: true, time.Millisecond: true, 15*time.Second - time.Millisecond: true, 15 * time.Second: false, time.Minute: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			at := time.Now().Add(ttl + 20*time.Millisecond) // which the fetch of the key takes
			r.api.Fail(orga.CallMint, orgatest.Status(200, fmt.Sprintf(`{"ephemeral_token":"t","expires_at":%q}`, at.Format(time.RFC3339Nano))))
			r.api.Fail(orga.CallICE, orgatest.Status(200, `[{"urls":"stun:stun.example"}]`))
			a := r.get(t.Context())
			log := r.logged()
			if a.Code != 200 || a.Token != "t" || strings.Contains(log, `"level":"WARN"`) != warned || strings.Contains(log, `"metric":"short_lived_tokens"`) != warned {
				t.Errorf("%v: %d %s\n%s", ttl, a.Code, a.Body, log)
			}
			if !strings.Contains(log, `"token_expires_at":"`+at.UTC().Format(time.RFC3339)) {
				t.Errorf("%v: no expiry in %s", ttl, log)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // an unknown expiry is not a short one
		r := newRig(t)
		r.api.Fail(orga.CallMint, orgatest.Status(200, `{"ephemeral_token":"t"}`))
		r.api.Fail(orga.CallICE, orgatest.Status(200, `[{"urls":"stun:stun.example"}]`))
		if a := r.get(t.Context()); a.Code != 200 || strings.Contains(r.logged(), "WARN") || strings.Contains(r.logged(), "token_expires_at") {
			t.Errorf("%d\n%s", a.Code, r.logged())
		}
	})
}

// The log has Orga's own ID of the mint, or of the failed call.
func TestOrgaRequestID(t *testing.T) {
	ok := orgatest.Status(200, `{"ephemeral_token":"t"}`, "X-Request-Id", "req_mint")
	for name, row := range map[string]struct {
		mint, ice http.Handler
		want      string
	}{
		"a mint":       {ok, orgatest.Status(200, `[]`, "X-Request-Id", "req_ice"), "req_mint"},
		"no mint":      {orgatest.Status(400, ``, "X-Request-Id", "req_mint"), nil, "req_mint"},
		"no ICE":       {ok, orgatest.Status(400, ``, "X-Request-Id", "req_ice"), "req_ice"},
		"none given":   {orgatest.Status(400, ``), nil, ""},
		"not an id":    {orgatest.Status(400, ``, "X-Request-Id", "a b"), nil, ""},
		"the key":      {orgatest.Status(400, ``, "X-Request-Id", "x"+orgatest.Key), nil, ""},
		"a token":      {ok, orgatest.Status(400, ``, "X-Request-Id", "t"), ""},
		"far too long": {orgatest.Status(400, ``, "X-Request-Id", strings.Repeat("a", 129)), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.api.FailAll(orga.CallMint, row.mint)
				if row.ice != nil {
					r.api.FailAll(orga.CallICE, row.ice)
				}
				r.get(t.Context())
				var line struct {
					ID string `json:"orga_request_id"`
				}
				lines := strings.Split(strings.TrimSpace(r.logged()), "\n")
				if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil || line.ID != row.want {
					t.Errorf("%q, want %q", line.ID, row.want)
				}
			})
		})
	}
}

// The outcome of a request's second mint, or of the mint with a newer key, is the request's outcome.
func TestSecondMintFails(t *testing.T) {
	unauthorized := orgatest.Status(401, orgatest.ErrorBody("invalid_token", ""))
	rejected := orgatest.Status(400, "")
	for name, row := range map[string]struct {
		mint, ice    []http.Handler
		newer        string // the key in the store when the first has been refused
		down         bool   // the store, at the forced refresh
		problem      string
		mints, asked int
	}{
		"after ICE 401, the second mint is refused":       {[]http.Handler{nil, rejected}, []http.Handler{unauthorized}, "", false, "upstream_error", 2, 1},
		"after ICE 401, the key is refused":               {[]http.Handler{nil, unauthorized}, []http.Handler{unauthorized}, "", false, "upstream_auth_failed", 2, 1},
		"after ICE 401, the second mint has no token":     {[]http.Handler{nil, orgatest.Status(200, `{}`)}, []http.Handler{unauthorized}, "", false, "upstream_error", 2, 1},
		"the newer key is refused too":                    {[]http.Handler{unauthorized, unauthorized}, nil, orga.KeyPrefix + "second2", false, "upstream_auth_failed", 2, 0},
		"with the newer key, the mint fails":              {[]http.Handler{unauthorized, rejected}, nil, orga.KeyPrefix + "second2", false, "upstream_error", 2, 0},
		"the store is down when a newer key is asked for": {[]http.Handler{unauthorized}, nil, "", true, "upstream_auth_failed", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				if a := r.get(t.Context()); a.Code != 200 {
					t.Fatal(a.Code)
				}
				if row.newer != "" {
					r.key.Store(new(row.newer))
					r.api.AcceptKeys(orgatest.Key, row.newer)
				}
				r.down.Store(row.down)
				minted, iceCalls := r.api.Calls(orga.CallMint), r.api.Calls(orga.CallICE)
				r.api.Fail(orga.CallMint, row.mint...)
				r.api.Fail(orga.CallICE, row.ice...)
				a := r.get(t.Context())
				if a.Code != http.StatusBadGateway || a.Problem != row.problem || a.Token != "" {
					t.Errorf("%d %s", a.Code, a.Body)
				}
				if m, i := r.api.Calls(orga.CallMint)-minted, r.api.Calls(orga.CallICE)-iceCalls; m != row.mints || i != row.asked {
					t.Errorf("%d mints, %d ICE calls; want %d, %d", m, i, row.mints, row.asked)
				}
				r.quiet(t, a)
			})
		})
	}
}

// Another attempt is made only if 250 ms remain after the wait, or a second after a wait named by Orga: with less, a caller
// would wait in vain.
func TestTimeForAnotherAttempt(t *testing.T) {
	for name, row := range map[string]struct {
		fault http.Handler
		left  time.Duration // of the budget when the first attempt has failed
		mints int
	}{
		"after a failure, enough":  {orgatest.Status(500, ""), 400 * time.Millisecond, 2}, // the wait is 150 ms at most
		"after a failure, too few": {orgatest.Status(500, ""), 299 * time.Millisecond, 1}, // 50 ms at least
		"after a delay, enough":    {orgatest.Status(429, "", "Retry-After", "1"), 2100 * time.Millisecond, 2},
		"after a delay, too few":   {orgatest.Status(429, "", "Retry-After", "1"), 1999 * time.Millisecond, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.get(t.Context()) // fetches the key
				minted := r.api.Calls(orga.CallMint)
				r.api.Fail(orga.CallMint, row.fault)
				// A quarter of a small budget is reserved for the answer, or 550 ms of a larger one.
				left := min(row.left*4/3+1, row.left+550*time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), left)
				defer cancel()
				r.get(ctx)
				if n := r.api.Calls(orga.CallMint) - minted; n != row.mints {
					t.Errorf("%d mints, want %d", n, row.mints)
				}
			})
		})
	}
}

// A client that disconnects during a wait ends it, and no further call is made.
func TestClientLeavesDuringAWait(t *testing.T) {
	for _, call := range []orga.Call{orga.CallMint, orga.CallICE} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.api.Fail(call, orgatest.Status(429, "", "Retry-After", "4"))
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			a := r.get(ctx)
			if a.Problem != "client_gone" || a.took != time.Second || r.api.Calls(call) != 1 {
				t.Errorf("%s: %s after %v and %d calls", call, a.Problem, a.took, r.api.Calls(call))
			}
			if log := r.logged(); !regexp.MustCompile(`"msg":"waiting for another attempt".*"wait_ms":4[01]\d\d\b`).MatchString(log) {
				t.Errorf("%s: the wait of 4 s is not in the log: %s", call, log)
			}
			time.Sleep(5 * time.Second)
			if n := r.api.Calls(call); n != 1 {
				t.Errorf("%s: %d calls after it left", call, n)
			}
		})
	}
}

// An empty list is passed on, and the log explains the consequence.
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
