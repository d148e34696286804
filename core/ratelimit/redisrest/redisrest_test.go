package redisrest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/internal/redisscript"
	"github.com/orga-session/orga-session/core/ratelimit/ratelimittest"
	"github.com/orga-session/orga-session/core/ratelimit/redisrest"
)

const token = "canary-token-of-a-test=="

func TestMain(m *testing.M) { ratelimittest.Main(m, redisrest.Open(nil)) }

// api returns a fake REST API in front of a new redis-server, and its setting.
func api(t *testing.T) (*ratelimittest.RedisREST, string) {
	t.Helper()
	h := &ratelimittest.RedisREST{Redis: ratelimittest.StartRedis(t), Token: token}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return h, strings.Replace(server.URL, "://", "://"+token+"@", 1)
}

func open(t *testing.T, setting string) ratelimit.Limiter {
	t.Helper()
	l, err := redisrest.Open(nil)(setting)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConformance(t *testing.T) {
	h, setting := api(t)
	ratelimittest.Test(t, ratelimittest.Harness{
		Open:    func(t *testing.T) ratelimit.Limiter { return open(t, setting) },
		Setting: setting,
		SetBack: func(t *testing.T, b ratelimit.Bucket, d time.Duration) {
			if _, err := h.Redis.Do("INCRBY", redisscript.Key(b), fmt.Sprint(d.Microseconds())); err != nil {
				t.Fatal(err)
			}
		},
	})
}

func TestFault29FallsBackAndRecovers(t *testing.T) {
	for _, outage := range []struct {
		name, cause string
		intercept   func(http.ResponseWriter, *http.Request) bool
	}{
		{"hangs", "deadline", func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }},
		{"refuses", "WRONGPASS", refuse(http.StatusUnauthorized, "WRONGPASS invalid token "+token)},
		{"is out of memory", "OOM", refuse(http.StatusBadRequest, "OOM command not allowed")},
		{"limits requests", "ERR", refuse(http.StatusTooManyRequests, "ERR max requests limit exceeded")},
		{"answers with a page", "HTTP 502", func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "<html>"+token, http.StatusBadGateway)
			return true
		}},
		{"answers something else", "unexpected answer", func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, `{"result":["`+token+`"]}`)
			return true
		}},
		{"answers for another question", "unexpected answer", func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, `{"result":[1,2,3]}`)
			return true
		}},
		{"closes connections", "closed before the complete answer arrived", func(w http.ResponseWriter, _ *http.Request) bool {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.Close()
			return true
		}},
	} {
		t.Run(outage.name, func(t *testing.T) {
			t.Parallel()
			h, setting := api(t)
			var out atomic.Bool
			h.Intercept = func(w http.ResponseWriter, r *http.Request) bool { return out.Load() && outage.intercept(w, r) }
			ratelimittest.TestOutage(t, open(t, setting), ratelimittest.Outage{
				Begin: func() { out.Store(true) }, End: func() { out.Store(false) }, Cause: outage.cause, Secret: token,
			})
		})
	}
	t.Run("the server is killed", func(t *testing.T) {
		t.Parallel()
		h, setting := api(t)
		ratelimittest.TestOutage(t, open(t, setting), ratelimittest.Outage{Begin: h.Redis.Kill, End: h.Redis.Start, Cause: "ERR", Secret: token})
	})
}

func TestConnections(t *testing.T) {
	h, _ := api(t)
	ratelimittest.TestConnections(t, h, func(t *testing.T, address string) ratelimit.Limiter {
		return open(t, strings.Replace(address, "://", "://"+token+"@", 1))
	})
}

func refuse(status int, message string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		ratelimittest.RedisRESTError(w, status, message)
		return true
	}
}

// A ping succeeds only if the store itself answers, and the token may follow a user name.
func TestPing(t *testing.T) {
	h, setting := api(t)
	ping := open(t, strings.Replace(setting, token, "default:"+token, 1)).(interface{ Ping(context.Context) error }).Ping
	if err := ping(t.Context()); err != nil {
		t.Error(err)
	}
	for name, answer := range map[string]string{"a page": "<html>", "another result": `{"result":[1]}`, "cut off": ""} {
		h.Intercept = func(w http.ResponseWriter, _ *http.Request) bool {
			if answer == "" {
				w.Header().Set("Content-Length", "100")
				answer = `{"result":"PONG"}`
			}
			fmt.Fprint(w, answer)
			return true
		}
		if err := ping(t.Context()); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func TestWrongToken(t *testing.T) {
	_, setting := api(t)
	l := open(t, strings.Replace(setting, token, "another", 1))
	_, err := l.Allow(t.Context(), []ratelimit.Bucket{{Key: "acme:ada", Quota: ratelimit.Quota{N: 1, Per: time.Hour}}})
	ping := l.(interface{ Ping(context.Context) error }).Ping(t.Context())
	for _, err := range []error{err, ping} {
		if err == nil || !strings.HasSuffix(err.Error(), "WRONGPASS") {
			t.Errorf("%v", err)
		}
	}
}

func TestOpenFaults(t *testing.T) {
	for _, setting := range []string{
		"https://", "https://host.example", "https://@host.example", "http://" + token + "@host.example", "https://" + token + "@", "https://" + token + "@:443",
		"https://" + token + "@host.example/path", "https://" + token + "@host.example?x=1", "https://%zz@host.example", "https://" + token + "@host.example:port", "redis://" + token + "@host",
	} {
		if _, err := redisrest.Open(nil)(setting); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", setting, err)
		}
	}
	for _, setting := range []string{"https://" + token + "@eu1-some-name-1.upstash.io", "https://default:" + token + "@host.example:8443/", "http://" + token + "@127.0.0.1:8079"} {
		if _, err := redisrest.Open(nil)(setting); err != nil {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// No error contains the token or the address, not even a connection error.
func TestServerDown(t *testing.T) {
	_, err := open(t, "http://"+token+"@127.0.0.1:1").Allow(t.Context(), []ratelimit.Bucket{{Key: "acme:ada", Quota: ratelimit.Quota{N: 1, Per: time.Hour}}})
	if err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
