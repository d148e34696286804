package entrypoints

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// deployment is a Lambda instance whose key is in Secrets Manager.
type deployment struct {
	store    *secrettest.AWS
	upstream *orgatest.Server
	mint     func() (status int)
}

func deploy(t *testing.T, key string, env ...string) deployment {
	t.Helper()
	store := &secrettest.AWS{AccessKeyID: "lambdas", Region: "eu-central-1"}
	store.Put("orga/key", key)
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	upstream := orgatest.New(t)
	upstream.AcceptKeys(key)
	api := startLambda(t, "aws-lambda", key, append([]string{
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=lambdas", "AWS_SECRET_ACCESS_KEY=lambdas", "AWS_SESSION_TOKEN=lambdas",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + server.URL, "ORGA_API_KEY_SOURCE=awssm:orga/key",
		"ORGA_BASE_URL=" + upstream.URL, "ORGA_AUTH=anonymous", "ORGA_RATE_LIMIT=off",
	}, env...)...)
	do := overLambda(api, triggers["Function URL"])
	return deployment{store, upstream, func() int {
		return do(t, request{method: "GET", path: mint}).status
	}}
}

func TestWarmInvocationsFetchOnce(t *testing.T) {
	t.Parallel()
	d := deploy(t, canary())
	for range 1000 {
		if status := d.mint(); status != 200 {
			t.Fatalf("a caller got %d", status)
		}
	}
	if n := d.store.Calls(); n != 1 {
		t.Errorf("1,000 invocations made %d calls to Secrets Manager, want 1", n)
	}
	if n := d.upstream.Calls(orga.CallMint); n != 1000 {
		t.Errorf("1,000 invocations minted %d times", n)
	}
}

// Fault 9: the old key is suddenly refused, long before the TTL ends.
func TestRotationFailsNobody(t *testing.T) {
	t.Parallel()
	d := deploy(t, canary())
	for i := range 60 {
		if i == 20 {
			next := canary()
			d.store.Put("orga/key", next)
			d.upstream.AcceptKeys(next)
		}
		if status := d.mint(); status != 200 {
			t.Fatalf("caller %d got %d", i, status)
		}
	}
	if n := d.store.Calls(); n != 2 {
		t.Errorf("a rotation made %d calls to Secrets Manager, want 2", n)
	}
}

// Fault 1, for more than a TTL; then the store recovers.
func TestStoreOutageFailsNobody(t *testing.T) {
	t.Parallel()
	d := deploy(t, canary(), "ORGA_API_KEY_TTL=500ms")
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	call := func(until func() bool) {
		t.Helper()
		for limit := time.Now().Add(10 * time.Second); !until(); <-pace.C {
			if status := d.mint(); status != 200 {
				t.Fatalf("a caller got %d", status)
			}
			if time.Now().After(limit) {
				t.Fatal("it takes too long")
			}
		}
	}
	call(func() bool { return d.store.Calls() >= 1 })
	d.store.Fail(secrettest.Down, 0)
	tried := d.store.Calls()
	down := time.Now()
	call(func() bool { return time.Since(down) > 1500*time.Millisecond })
	if d.store.Calls() == tried {
		t.Error("nobody asked the store while it was down: the test shows nothing")
	}
	d.store.Fail(secrettest.Healthy, 0)
	tried = d.store.Calls()
	call(func() bool { return d.store.Calls() > tried })
}

// A store that does not answer delays the start of an instance by seconds, far less than the 10 s after which Lambda would
// end it.
func TestStartIsBounded(t *testing.T) {
	t.Parallel()
	store := new(secrettest.AWS)
	store.Fail(secrettest.Hanging, 0)
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	begun := time.Now()
	api := startLambda(t, "aws-lambda", "",
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=lambdas", "AWS_SECRET_ACCESS_KEY=lambdas",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER="+server.URL, "ORGA_API_KEY_SOURCE=awssm:orga/key", "ORGA_AUTH=anonymous",
		"ORGA_BASE_URL=http://127.0.0.1:9")
	do := overLambda(api, triggers["HTTP API"])
	if got := do(t, request{method: "GET", path: "/healthz"}); got.status != 200 {
		t.Errorf("health answers %d", got.status)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the start took %v", took)
	}
	if got := do(t, request{method: "GET", path: mint}); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("fault 2: a mint answers %d %s", got.status, got.body)
	}
}
