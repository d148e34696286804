package dynamolimit_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/orga-session/orga-session/core/internal/awsenv"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/ratelimittest"
)

const (
	table  = "orga-session-limits"
	secret = "canary-secret-key-of-a-test"
)

// openAt opens the table at an endpoint address.
func openAt(address string) (ratelimit.Limiter, error) {
	env := map[string]string{
		"ORGA_AWS_REGION": "eu-central-1", "ORGA_AWS_ACCESS_KEY_ID": "AKIAOFATEST", "ORGA_AWS_SECRET_ACCESS_KEY": secret,
		"AWS_ENDPOINT_URL_DYNAMODB": address,
	}
	return dynamolimit.Open(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, false)("dynamodb:" + table)
}

func TestMain(m *testing.M) { ratelimittest.Main(m, openAt) }

// limiter is what a driver opens.
type limiter interface {
	ratelimit.Limiter
	io.Closer
	Ping(context.Context) error
}

// double returns a fake DynamoDB, with a limiter.
func double(t *testing.T) (*ratelimittest.DynamoDB, limiter, string) {
	t.Helper()
	d := &ratelimittest.DynamoDB{Table: table}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return d, open(t, server.URL), server.URL
}

func open(t *testing.T, address string) limiter {
	t.Helper()
	l, err := openAt(address)
	if err != nil {
		t.Fatal(err)
	}
	opened := l.(limiter)
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

func TestConformance(t *testing.T) {
	d, _, address := double(t)
	ratelimittest.Test(t, ratelimittest.Harness{
		Open: func(t *testing.T) ratelimit.Limiter {
			l := open(t, address)
			if err := l.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			return l
		},
		Setting: address,
		SetBack: func(_ *testing.T, b ratelimit.Bucket, by time.Duration) {
			d.Items(func(id string, item ratelimittest.Item) {
				if _, ok := item[b.Quota.String()]; ok && id == dynamolimit.ID(b.Key) {
					item[b.Quota.String()] += by.Microseconds()
				}
			})
		},
	})
}

// one decides one bucket.
func one(l ratelimit.Limiter, key string, q ratelimit.Quota) (ratelimit.Decision, error) {
	decisions, err := l.Allow(context.Background(), []ratelimit.Bucket{{Key: key, Quota: q}})
	if err != nil {
		return ratelimit.Decision{}, err
	}
	return decisions[0], nil
}

// Fault 70: the number of calls per decision, and the content of items.
func TestFault70Calls(t *testing.T) {
	d, l, address := double(t)
	other := open(t, address)
	caller := []ratelimit.Bucket{
		{Key: "acme:ada", Quota: ratelimit.Quota{N: 2, Per: time.Minute}}, {Key: "acme:ada", Quota: ratelimit.Quota{N: 9, Per: time.Hour}},
	}
	budget := ratelimit.Bucket{Key: "acme:", Quota: ratelimit.Quota{N: 3, Per: 24 * time.Hour}}
	for _, step := range []struct {
		name    string
		l       ratelimit.Limiter
		buckets []ratelimit.Bucket
		allowed bool
		calls   int
	}{
		{"a new caller", l, caller, true, 1},
		{"who comes back to this instance", l, caller, true, 1},
		{"is refused", l, caller, false, 1},
		{"is refused by another instance", other, caller, false, 1},
		{"is known there as well, then", other, caller, false, 1},
		{"a budget is a second item", l, []ratelimit.Bucket{{Key: "acme:bob", Quota: caller[0].Quota}, budget}, true, 2},
		{"another instance, which knows neither", other, []ratelimit.Bucket{{Key: "acme:bob", Quota: caller[0].Quota}, budget}, true, 4},
		{"knows both now", other, []ratelimit.Bucket{{Key: "acme:eve", Quota: caller[0].Quota}, budget}, true, 2},
		{"a caller's refusal does not ask for the budget", l, append(caller[:2:2], budget), false, 1},
		{"a budget's refusal is taken back", l, []ratelimit.Bucket{{Key: "acme:joe", Quota: caller[0].Quota}, budget}, false, 3},
		{"and its caller is unused again", l, []ratelimit.Bucket{{Key: "acme:joe", Quota: caller[0].Quota}}, true, 1},
	} {
		before := d.Calls()
		decisions, err := step.l.Allow(t.Context(), step.buckets)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		allowed := true
		for _, decision := range decisions {
			allowed = allowed && decision.Allowed
		}
		if calls := d.Calls() - before; allowed != step.allowed || calls != step.calls {
			t.Errorf("%s: allowed %v in %d calls, want %v in %d", step.name, allowed, calls, step.allowed, step.calls)
		}
	}
	now := time.Now()
	d.Items(func(id string, item ratelimittest.Item) {
		if strings.Contains(id, "acme") || strings.Contains(id, "ada") || len(id) != 24 {
			t.Errorf("id %q", id)
		}
		for name, n := range item {
			if strings.ContainsAny(name, ":") || name != "expires" && n > now.Add(48*time.Hour).UnixMicro() {
				t.Errorf("attribute %s of %s is %d", name, id, n)
			}
		}
		for _, b := range append(caller, budget) {
			if fullAt, ok := item[b.Quota.String()]; ok && (item["expires"] < fullAt/1e6 || item["expires"] > now.Add(24*time.Hour+5*time.Second).Unix()) {
				t.Errorf("%s expires at %d, is whole again at %d", id, item["expires"], fullAt/1e6)
			}
		}
	})
}

// TTL deletes items hours late, so conditions treat an expired item as unused.
func TestItemsOutliveTheirPeriod(t *testing.T) {
	d, l, _ := double(t)
	q := ratelimit.Quota{N: 2, Per: time.Hour}
	for range 3 {
		_, _ = one(l, "acme:ada", q)
	}
	d.Items(func(_ string, item ratelimittest.Item) {
		item[q.String()] -= (10 * time.Hour).Microseconds()
		item["expires"] -= 10 * 3600
	})
	if got, err := one(l, "acme:ada", q); err != nil || !got.Allowed || got.Remaining != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A refused caller says nothing about the tenant's budget, which is not asked.
func TestRefusedCallerAsksNoBudget(t *testing.T) {
	_, l, _ := double(t)
	buckets := []ratelimit.Bucket{{Key: "acme:ada", Quota: ratelimit.Quota{N: 1, Per: time.Hour}}, {Key: "acme:", Quota: ratelimit.Quota{N: 4, Per: time.Hour}}}
	for i, want := range [][]ratelimit.Decision{
		{{Allowed: true, Remaining: 0, Reset: time.Hour}, {Allowed: true, Remaining: 3, Reset: 15 * time.Minute}},
		{{Allowed: false, Remaining: 0}, {Allowed: true, Remaining: -1}},
	} {
		got, err := l.Allow(t.Context(), buckets)
		if err != nil {
			t.Fatal(err)
		}
		for j := range want {
			if got[j].Allowed != want[j].Allowed || got[j].Remaining != want[j].Remaining || i == 0 && got[j].Reset != want[j].Reset {
				t.Errorf("call %d: %+v, want %+v", i, got, want)
			}
		}
	}
}

// An instance whose clock is less than a second ahead of another's neither reduces nor extends a quota.
func TestClocksDiffer(t *testing.T) {
	d, l, _ := double(t)
	q := ratelimit.Quota{N: 3, Per: time.Hour}
	for i := range 5 {
		if got, err := one(l, "acme:ada", q); err != nil || got.Allowed != (i < 3) || got.Remaining != max(0, 2-i) {
			t.Errorf("call %d: %+v, %v", i, got, err)
		}
		if i == 0 {
			d.Items(func(_ string, item ratelimittest.Item) { item[q.String()] += (900 * time.Millisecond).Microseconds() })
		}
	}
}

// Concurrent callers of one tenant are all decided, and the budget is exact.
func TestBudgetUnderContention(t *testing.T) {
	d, _, address := double(t)
	budget := ratelimit.Bucket{Key: "acme:", Quota: ratelimit.Quota{N: 50, Per: 24 * time.Hour}}
	var wg sync.WaitGroup
	var allowed, failed atomic.Int32
	for range 4 {
		l := open(t, address)
		_ = l.Ping(t.Context())
		for i := range 25 {
			wg.Go(func() {
				decisions, err := l.Allow(t.Context(), []ratelimit.Bucket{{Key: fmt.Sprint("acme:", i), Quota: ratelimit.Quota{N: 9, Per: time.Hour}}, budget})
				switch {
				case err != nil:
					failed.Add(1)
				case decisions[0].Allowed && decisions[1].Allowed:
					allowed.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if failed.Load() == 0 && allowed.Load() != 50 || allowed.Load() > 50 {
		t.Errorf("%d of 100 allowed, %d failed; want 50", allowed.Load(), failed.Load())
	}
	if failed.Load() > 0 {
		t.Logf("%d of 100 were not decided in time", failed.Load())
		return
	}
	var counted int64
	d.Items(func(_ string, item ratelimittest.Item) {
		if fullAt, ok := item["9/1h0m0s"]; ok {
			counted += (max(0, fullAt-time.Now().UnixMicro()) + 399e6) / 400e6
		}
	})
	if counted != 50 {
		t.Errorf("callers are charged %d requests, want 50: what a budget refuses is taken back", counted)
	}
}

func TestConnections(t *testing.T) {
	ratelimittest.TestConnections(t, &ratelimittest.DynamoDB{Table: table}, func(t *testing.T, address string) ratelimit.Limiter { return open(t, address) })
}

// outages are failures of DynamoDB, with the word of each in the log.
var outages = []struct {
	name, cause string
	intercept   func(http.ResponseWriter, *http.Request) bool
}{
	{"hangs", "deadline", func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }},
	{"throttles", "ProvisionedThroughputExceededException", refuse(http.StatusBadRequest, "ProvisionedThroughputExceededException")},
	{"limits requests", "ThrottlingException", refuse(http.StatusBadRequest, "ThrottlingException")},
	{"denies", "AccessDeniedException", refuse(http.StatusBadRequest, "AccessDeniedException")},
	{"has no such table", "ResourceNotFoundException", refuse(http.StatusBadRequest, "ResourceNotFoundException")},
	{"knows no such key", "UnrecognizedClientException", refuse(http.StatusBadRequest, "UnrecognizedClientException")},
	{"fails", "InternalServerError", refuse(http.StatusInternalServerError, "InternalServerError")},
	{"answers with a page", "HTTP 503", func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "<html>"+secret, http.StatusServiceUnavailable)
		return true
	}},
	{"answers something else", "unexpected answer", func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, `["`+secret+`"]`)
		return true
	}},
	{"answers nothing", "unexpected answer", func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, `{}`)
		return true
	}},
	{"switches protocols", "unreadable", func(w http.ResponseWriter, _ *http.Request) bool {
		conn, _, _ := w.(http.Hijacker).Hijack()
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		return true
	}},
	{"breaks off", "closed before the complete answer arrived", func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, `{"Attributes":`)
		return true
	}},
	{"closes connections", "closed before the complete answer arrived", func(w http.ResponseWriter, _ *http.Request) bool {
		conn, _, _ := w.(http.Hijacker).Hijack()
		_ = conn.Close()
		return true
	}},
}

func refuse(status int, code string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		ratelimittest.DynamoDBError(w, status, code, nil)
		return true
	}
}

func TestFault71FallsBackAndRecovers(t *testing.T) {
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			t.Parallel()
			d, l, _ := double(t)
			var out atomic.Bool
			d.Intercept = func(w http.ResponseWriter, r *http.Request) bool { return out.Load() && outage.intercept(w, r) }
			ratelimittest.TestOutage(t, l, ratelimittest.Outage{
				Begin: func() { out.Store(true) }, End: func() { out.Store(false) }, Cause: outage.cause, Secret: secret,
			})
		})
	}
}

func TestPing(t *testing.T) {
	d, l, _ := double(t)
	if err := l.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	d.Items(func(id string, item ratelimittest.Item) { t.Errorf("it wrote %s: %v", id, item) })
	for _, outage := range outages[1:] {
		d.Intercept = outage.intercept
		if err := l.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), outage.cause) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", outage.name, err)
		}
	}
}

func TestOpenFaults(t *testing.T) {
	for _, setting := range []string{"dynamodb:", "dynamodb:ab", "dynamodb:a table", "dynamodb://table", "dynamodb:" + strings.Repeat("t", 256), "dynamodb:table?x"} {
		env := map[string]string{"ORGA_AWS_REGION": "eu-central-1", "ORGA_AWS_ACCESS_KEY_ID": "A", "ORGA_AWS_SECRET_ACCESS_KEY": secret}
		if _, err := dynamolimit.Open(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, false)(setting); err == nil {
			t.Errorf("%s passes", setting)
		}
	}
	ambient := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": secret}
	lookup := func(name string) (string, bool) { v, ok := ambient[name]; return v, ok }
	for _, table := range []string{"table", "abc", strings.Repeat("t", 255)} {
		if _, err := dynamolimit.Open(lookup, true)("dynamodb:" + table); err != nil {
			t.Errorf("%s: %v", table, err)
		}
	}
	if _, err := dynamolimit.Open(lookup, false)("dynamodb:table"); err == nil || !strings.Contains(err.Error(), "ORGA_AWS_ACCESS_KEY_ID") {
		t.Errorf("the ambient credentials are used: %v", err)
	}
}

// The addresses are those of the SDK's own rules (service/dynamodb 1.74.0).
func TestEndpoint(t *testing.T) {
	const fips, dual = aws.FIPSEndpointStateEnabled, aws.DualStackEndpointStateEnabled
	for _, tt := range []struct {
		env  awsenv.Config
		want string
	}{
		{awsenv.Config{Region: "eu-central-1"}, "https://dynamodb.eu-central-1.amazonaws.com/"},
		{awsenv.Config{Region: "us-east-1", FIPS: fips}, "https://dynamodb-fips.us-east-1.amazonaws.com/"},
		{awsenv.Config{Region: "eu-west-1", DualStack: dual}, "https://dynamodb.eu-west-1.api.aws/"},
		{awsenv.Config{Region: "us-west-2", FIPS: fips, DualStack: dual}, "https://dynamodb-fips.us-west-2.api.aws/"},
		{awsenv.Config{Region: "us-gov-west-1"}, "https://dynamodb.us-gov-west-1.amazonaws.com/"},
		{awsenv.Config{Region: "us-gov-east-1", FIPS: fips}, "https://dynamodb.us-gov-east-1.amazonaws.com/"},
		{awsenv.Config{Region: "us-gov-east-1", FIPS: fips, DualStack: dual}, "https://dynamodb-fips.us-gov-east-1.api.aws/"},
		{awsenv.Config{Region: "cn-north-1"}, "https://dynamodb.cn-north-1.amazonaws.com.cn/"},
		{awsenv.Config{Region: "cn-northwest-1", DualStack: dual}, "https://dynamodb.cn-northwest-1.api.amazonwebservices.com.cn/"},
		{awsenv.Config{Region: "eusc-de-east-1"}, "https://dynamodb.eusc-de-east-1.amazonaws.eu/"},
	} {
		if got := dynamolimit.Endpoint(tt.env); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.env, got, tt.want)
		}
	}
}
