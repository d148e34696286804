// Package drill injects incidents into the Lambda binary, and looks at what somebody on call has: the log line, its row
// in docs/operate.md, and the alarms of template.yaml, computed from the metrics in the log. `make drill` prints all.
package drill

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/ratelimit/ratelimittest"
	"github.com/orga-session/orga-session/core/secret/secrettest"
	"github.com/orga-session/orga-session/tools/lambdaevent"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// site is what an incident happens in.
type site struct {
	t     *testing.T
	orga  *orgatest.Server
	store *secrettest.AWS
	env   map[string]string
}

// request is what a caller sends; the zero one is a mint on the default route from an address of its own.
type request struct {
	path, body, from string
	headers          map[string]string
}

type incident struct {
	name     string
	set      func(s *site) // before the start
	requests []request     // nil for five plain ones
	line     string        // a part of the line's cause, or its msg or error.type, that a row of docs/operate.md begins with
	alarm    string        // that must fire; "" if none may
	reason   string        // why none may
}

func setting(name, value string) func(*site) {
	return func(s *site) { s.env[name] = value }
}

func orgaAnswers(call orga.Call, h http.Handler) func(*site) {
	return func(s *site) { s.orga.FailAll(call, h) }
}

func storeFails(f secrettest.Fault) func(*site) {
	return func(s *site) {
		s.env["ORGA_API_KEY_SOURCE"] = "awssm:orga/key"
		s.store.Fail(f, 0)
	}
}

// jwt is a token with an issuer, whose signature nobody made.
func jwt(iss string) map[string]string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"iss":%q,"aud":"app","sub":"someone","exp":%d}`, iss, time.Now().Add(time.Hour).Unix())
	return map[string]string{"authorization": "Bearer " + encode([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." + encode([]byte(claims)) + "." + encode(make([]byte, 256))}
}

func oidc(s *site) {
	maps.Copy(s.env, map[string]string{"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": "http://127.0.0.1:1", "ORGA_AUTH_AUDIENCE": "app"})
}

// keySet is that of an issuer with one key.
func keySet(s *site) {
	n := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 256))
	server := httptest.NewServer(orgatest.Status(200, `{"keys":[{"kty":"RSA","kid":"k1","e":"AQAB","n":"`+n+`"}]}`))
	s.t.Cleanup(server.Close)
	s.env["ORGA_AUTH_JWKS_URL"] = server.URL
}

func hmacAuth(s *site) {
	maps.Copy(s.env, map[string]string{"ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC", "HMAC": strings.Repeat("0123456789abcdef", 4)})
}

func signed(ts time.Time) map[string]string {
	return map[string]string{"authorization": fmt.Sprintf("Orga-HMAC ts=%d,sig=%064d", ts.Unix(), 0)}
}

func dynamo(answer http.HandlerFunc) func(*site) {
	return func(s *site) {
		server := httptest.NewServer(answer)
		s.t.Cleanup(server.Close)
		s.env["ORGA_RATE_LIMIT_STORE"], s.env["AWS_ENDPOINT_URL_DYNAMODB"], s.env["ORGA_RATE_LIMIT"] = "dynamodb:limits", server.URL, "30/1m"
	}
}

func redis(address string) func(*site) {
	return func(s *site) { s.env["ORGA_RATE_LIMIT_STORE"], s.env["ORGA_RATE_LIMIT"] = address, "1000/1m" }
}

func redisServer(url string, args ...string) func(*site) {
	return func(s *site) {
		server := ratelimittest.StartRedis(s.t, args...)
		redis(strings.ReplaceAll(url, "ADDRESS", server.Addr))(s)
	}
}

func all(steps ...func(*site)) func(*site) {
	return func(s *site) {
		for _, step := range steps {
			step(s)
		}
	}
}

func times(n int, r request) []request { return slices.Repeat([]request{r}, n) }

var incidents = []incident{
	// The key and its store
	{name: "Orga refuses the key", set: func(s *site) { s.orga.AcceptKeys(orga.KeyPrefix + "another000000000000000000000") }, line: "orga mint: credential rejected (status 401", alarm: "KeyRefusedAlarm"},
	{name: "Orga refuses the account", set: orgaAnswers(orga.CallMint, orgatest.Status(403, "{}")), line: "orga mint: credential rejected (status 403", alarm: "KeyRefusedAlarm"},
	{name: "access to the secret is denied at start", set: storeFails(secrettest.Denied), line: "refused by the store", alarm: "SecretRefusedAlarm"},
	{name: "the secret is deleted at start", set: func(s *site) { storeFails(secrettest.Healthy)(s); s.store.Delete("orga/key") }, line: "refused by the store", alarm: "SecretRefusedAlarm"},
	{name: "the secret is JSON and no member is named", set: func(s *site) { storeFails(secrettest.Healthy)(s); s.store.Put("orga/key", `{"apiKey":"x"}`) }, line: "unusable secret: it is a JSON object", alarm: "SecretRefusedAlarm"},
	{name: "the secret lacks the member", set: func(s *site) {
		s.env["ORGA_API_KEY_SOURCE"] = "awssm:orga/key#key"
		s.store.Put("orga/key", `{"apiKey":"x"}`)
	}, line: "unusable secret: its JSON has no member", alarm: "SecretRefusedAlarm"},
	{name: "the secret is empty", set: func(s *site) { storeFails(secrettest.Healthy)(s); s.store.Put("orga/key", " ") }, line: "unusable secret: it is empty", alarm: "SecretRefusedAlarm"},
	{name: "the store is down at start", set: storeFails(secrettest.Down), line: "secret fetch failed", alarm: "NoSuccessAlarm"},
	{name: "the store throttles at start", set: storeFails(secrettest.Throttling), line: "secret fetch failed", alarm: "NoSuccessAlarm"},
	{name: "the variable of the key is not set", set: setting("ORGA_API_KEY", ""), line: "misconfigured", alarm: "MisconfiguredAlarm"},

	// Orga
	{name: "Orga answers 500", set: orgaAnswers(orga.CallMint, orgatest.Status(500, "{}")), line: "orga mint: server error (status 500", alarm: "FastBurnAlarm"},
	{name: "Orga limits the account", set: orgaAnswers(orga.CallMint, orgatest.Status(429, "{}", "Retry-After", "60")), line: "upstream_rate_limited", alarm: "FastBurnAlarm"},
	{name: "Orga is down for maintenance", set: orgaAnswers(orga.CallMint, orgatest.Status(503, "{}", "Retry-After", "600")), line: "upstream_rate_limited", alarm: "FastBurnAlarm"},
	{name: "Orga hangs", set: all(setting("ORGA_TIMEOUT", "1s"), orgaAnswers(orga.CallMint, orgatest.Hang())), requests: times(2, request{}), line: "orga mint: timed out", alarm: "FastBurnAlarm"},
	{name: "Orga answers with a web page", set: orgaAnswers(orga.CallMint, orgatest.HTML()), line: "orga mint: unusable answer (status 200", alarm: "FastBurnAlarm"},
	{name: "Orga wants an email", set: orgaAnswers(orga.CallMint, orgatest.Status(422, "{}")), line: "orga mint: request rejected (status 422", alarm: "FastBurnAlarm"},
	{name: "Orga refuses its own token", set: orgaAnswers(orga.CallICE, orgatest.Status(401, "{}")), line: "orga ice: credential rejected (status 401", alarm: "FastBurnAlarm"},
	{name: "Orga's ICE call fails", set: orgaAnswers(orga.CallICE, orgatest.Status(500, "{}")), line: "orga ice: server error (status 500", alarm: "FastBurnAlarm"},
	{name: "tokens expire at once", set: func(s *site) { s.orga.Change(func(a *orgatest.API) { a.TTL = 5 * time.Second }) }, line: "Orga sent a token that expires within 15 s", alarm: "ShortLivedTokensAlarm"},
	{name: "Orga has no ICE servers", set: orgaAnswers(orga.CallICE, orgatest.Status(200, `{"iceServers":[]}`)), line: "Orga sent no ICE servers", reason: "callers that need no relay connect; the line is a WARN, and make probe fails"},

	// Addresses
	{name: "nothing listens at the base URL", set: setting("ORGA_BASE_URL", "http://127.0.0.1:1"), line: "orga mint: connection failed: dial tcp", alarm: "FastBurnAlarm"},
	{name: "the base URL's host does not exist", set: setting("ORGA_BASE_URL", "https://orga.invalid"), line: "orga mint: connection failed: dial tcp", alarm: "FastBurnAlarm"},
	{name: "the base URL redirects", set: orgaAnswers(orga.CallMint, orgatest.Redirect("https://elsewhere.example/")), line: "orga mint: request rejected (status 307", alarm: "FastBurnAlarm"},

	// Callers
	{name: "the issuer is down", set: oidc, requests: times(5, request{headers: jwt("http://127.0.0.1:1")}), line: "auth_unavailable", alarm: "NoSuccessAlarm"},
	{name: "the issuer has changed its name", set: all(oidc, keySet), requests: times(5, request{headers: jwt("https://new.example")}), line: "oidc: the token's iss is not the configured issuer", alarm: "NoSuccessAlarm"},
	{name: "apps send no credential", set: hmacAuth, line: "no accepted credential", alarm: "NoSuccessAlarm"},
	{name: "a backend's clock is wrong", set: hmacAuth, requests: times(5, request{headers: signed(time.Now().Add(-time.Hour))}), line: "hmac: ts is more than 5 minutes off", alarm: "NoSuccessAlarm"},
	{name: "a backend has another key", set: hmacAuth, requests: times(5, request{headers: signed(time.Now())}), line: "hmac: the signature does not match", alarm: "NoSuccessAlarm"},
	{name: "credentials are refused in a surge", set: hmacAuth, requests: times(15, request{}), line: "no accepted credential", alarm: "UnauthenticatedAlarm"},
	{name: "a new page is not listed", requests: times(15, request{headers: map[string]string{"origin": "https://new.example"}}), line: "the origin is not listed", alarm: "ForbiddenAlarm"},
	{name: "an unknown tenant", requests: times(5, request{path: "/api/orga-client-secrets/nobody"}), line: "unknown tenant", alarm: "NoSuccessAlarm"},

	// Settings
	{name: "ORGA_AUTH is not set", set: setting("ORGA_AUTH", ""), line: "misconfigured", alarm: "MisconfiguredAlarm"},
	{name: "a setting is wrong", set: setting("ORGA_TIMEOUT", "soon"), line: "misconfigured", alarm: "MisconfiguredAlarm"},
	{name: "a setting is misspelled", set: setting("ORGA_CORS_ORIGIN", "https://app.example"), line: "unknown setting", reason: "nobody is refused because of it; where somebody is, the alarm of that fires"},
	{name: "Orga answers 500, and the log level is error", set: all(setting("ORGA_LOG_LEVEL", "error"), orgaAnswers(orga.CallMint, orgatest.Status(500, "{}"))), line: "metrics", alarm: "FastBurnAlarm"},

	// Limits
	{name: "Redis is down", set: redis("redis://127.0.0.1:1"), line: "rate limit store unavailable", alarm: "LimitFallbackAlarm"},
	{name: "Redis is down, and limits are strict", set: all(redis("redis://127.0.0.1:1"), setting("ORGA_RATE_LIMIT_STRICT", "true")), line: "limiter_unavailable", alarm: "FastBurnAlarm"},
	{name: "Redis' password is wrong", set: redisServer("redis://:wrong@ADDRESS", "--requirepass", "right"), line: "redis: the server refused: WRONGPASS", alarm: "LimitFallbackAlarm"},
	{name: "DynamoDB denies access", set: dynamo(func(w http.ResponseWriter, _ *http.Request) {
		ratelimittest.DynamoDBError(w, 400, "AccessDeniedException", nil)
	}), line: "rate limit store unavailable", alarm: "LimitFallbackAlarm"},
	{name: "one caller asks in a loop", set: setting("ORGA_RATE_LIMIT", "2/1m"), requests: slices.Concat(times(6, request{from: "203.0.113.9"}), times(5, request{})), line: "rate_limited", reason: "the limit does what it is for, and all others succeed"},
	{name: "a tenant nears its budget", set: setting("ORGA_TENANT_RATE_LIMIT", "10/24h"), requests: times(9, request{}), line: "tenant budget at 80 percent", alarm: "TenantBudgetAlarm"},

	// Clients
	{name: "a client sends too much", requests: slices.Concat([]request{{body: `{"a":"` + strings.Repeat("a", 17<<10) + `"}`}}, times(4, request{})), line: "too_large", reason: "a client's mistake"},
	{name: "a client sends no JSON", requests: slices.Concat([]request{{body: "no"}}, times(4, request{})), line: "bad_request", reason: "a client's mistake"},
	{name: "nobody can reach the endpoint", requests: []request{}, alarm: "QuietAlarm"},
}

// pages are the alarms that a person is woken by.
func pages(list []alarm) []string {
	var names []string
	for _, a := range list {
		if strings.HasPrefix(a.description, "PAGE.") {
			names = append(names, a.name)
		}
	}
	return names
}

// build builds the function for this machine, otherwise as the Makefile does.
func build(t *testing.T) string {
	to := filepath.Join(t.TempDir(), "bootstrap")
	cmd := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", to, "./aws-lambda")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return to
}

func TestIncidents(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("AWS Lambda's binary is not built for Windows")
	}
	bootstrap := build(t)
	list := alarms(t)
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range incidents {
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			log, statuses := run(t, bootstrap, in)
			if in.line != "" {
				line := found(log, in.line)
				if line == "" {
					t.Errorf("no line has %q:\n%s", in.line, strings.Join(log, "\n"))
				}
				row := rowFor(string(page), in.line)
				if row == "" {
					t.Errorf("docs/operate.md has no row that begins with %q", in.line)
				}
				t.Logf("line:  %s", line)
				t.Logf("row:   %s", row)
			}
			fired := raised(list, log, statuses)
			switch {
			case in.alarm != "" && !slices.Contains(fired, in.alarm):
				t.Errorf("%s does not fire; fired: %v", in.alarm, fired)
			case in.alarm == "" && len(fired) > 0:
				t.Errorf("%v fired, and none should: %s", fired, in.reason)
			}
			if ok := slices.ContainsFunc(statuses, func(s int) bool { return s < 400 }); !ok && !slices.ContainsFunc(fired, func(name string) bool { return slices.Contains(pages(list), name) }) {
				t.Errorf("every caller is locked out, and nobody is woken; fired: %v", fired)
			}
			if in.reason != "" {
				t.Logf("alarm: none, as %s", in.reason)
			} else {
				t.Logf("alarm: %s", strings.Join(fired, ", "))
			}
		})
	}
}

// run starts the function and sends it the requests of an incident. It returns the log and the answers' statuses.
func run(t *testing.T, bootstrap string, in incident) (log []string, statuses []int) {
	store := new(secrettest.AWS)
	store.Put("orga/key", orgatest.Key)
	stores := httptest.NewServer(store)
	t.Cleanup(stores.Close)
	s := &site{t: t, orga: orgatest.New(t), store: store}
	s.env = map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "drill", "AWS_SECRET_ACCESS_KEY": "drill",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": stores.URL,
		"ORGA_API_KEY":                     orgatest.Key, "ORGA_BASE_URL": s.orga.URL, "ORGA_AUTH": "anonymous", "ORGA_TIMEOUT": "3s",
	}
	if in.set != nil {
		in.set(s)
	}
	api, err := lambdaruntime.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = api.Close() }()
	cmd := exec.CommandContext(t.Context(), bootstrap)
	cmd.Env = api.Env()
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	requests := in.requests
	if requests == nil {
		requests = times(5, request{})
	}
	for i, r := range requests {
		statuses = append(statuses, invoke(t, api, r, i))
	}
	if len(requests) == 0 {
		<-api.Ready()
	}
	_ = cmd.Process.Kill() // the function waits for its next event
	_ = cmd.Wait()
	for lines := bufio.NewScanner(&output); lines.Scan(); {
		log = append(log, lines.Text())
	}
	return log, statuses
}

func invoke(t *testing.T, api *lambdaruntime.API, r request, i int) int {
	if r.path == "" {
		r.path = "/api/orga-client-secrets"
	}
	if r.from == "" {
		r.from = fmt.Sprintf("198.51.100.%d", i+1)
	}
	method, header := http.MethodGet, make(http.Header)
	if r.body != "" {
		method, header = http.MethodPost, http.Header{"Content-Type": {"application/json"}}
	}
	for name, value := range r.headers {
		header.Set(name, value)
	}
	event, err := json.Marshal(lambdaevent.HTTPAPI(lambdaevent.Request{
		Method: method, Path: r.path, Header: header, Body: r.body, Addr: r.from, Host: "api.example",
	}))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := api.Invoke(t.Context(), event, lambdaruntime.Options{Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var response struct{ StatusCode int }
	if err := json.Unmarshal(answer, &response); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// found is the first line whose msg, error.type or cause has text, without what only machines read.
func found(log []string, text string) string {
	for _, line := range log {
		var members map[string]any
		if json.Unmarshal([]byte(line), &members) != nil {
			continue
		}
		for _, name := range []string{"msg", "error.type", "cause"} {
			if s, _ := members[name].(string); strings.Contains(s, text) {
				return regexp.MustCompile(`,"_aws":\{.*\}\]\}`).ReplaceAllString(line, "")
			}
		}
	}
	return ""
}

// rowFor is the row of a table whose first cell quotes text, from its start.
func rowFor(page, text string) string {
	for line := range strings.SplitSeq(page, "\n") {
		cells := strings.Split(line, " | ")
		if len(cells) == 3 && regexp.MustCompile("`(?:msg: |cause: )?"+regexp.QuoteMeta(text)).MatchString(cells[0]) {
			return line
		}
	}
	return ""
}

// raised are the alarms that act within an hour in which what happened happens again every minute, after an hour with
// one mint a minute.
func raised(list []alarm, log []string, statuses []int) []string {
	m := make(metrics)
	for minute := range 60 {
		healthy(m, minute)
	}
	for minute := 60; minute < 120; minute++ {
		for _, status := range statuses {
			if status >= 500 {
				m.add("AWS/ApiGateway 5xx ApiId=api", minute, 1)
			}
		}
		for _, line := range log {
			embedded(m, line, minute)
		}
	}
	var fired []string
	for _, a := range list {
		for minute := 60; a.acts && minute < 120; minute++ {
			if a.firing(list, m, minute) {
				fired = append(fired, a.name)
				break
			}
		}
	}
	return fired
}

// embedded adds the metrics that CloudWatch takes out of a line.
func embedded(m metrics, line string, minute int) {
	var members map[string]any
	var format struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if json.Unmarshal([]byte(line), &members) != nil || json.Unmarshal([]byte(line), &format) != nil {
		return
	}
	for _, d := range format.AWS.CloudWatchMetrics {
		for _, dimensions := range d.Dimensions {
			for _, metric := range d.Metrics {
				series := d.Namespace + " " + metric.Name
				for _, name := range dimensions {
					series += fmt.Sprintf(" %s=%v", name, members[name])
				}
				if value, ok := members[metric.Name].(float64); ok {
					m.add(series, minute, value)
				}
			}
		}
	}
}
