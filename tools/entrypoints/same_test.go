package entrypoints

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret/secrettest"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// canary returns a new key, which must not appear in any output.
func canary() string { return orga.KeyPrefix + "test" + rand.Text() }

// TestSameAnswerEverywhere: one request gets the same answer from all eight entrypoints, except for token and time.
func TestSameAnswerEverywhere(t *testing.T) {
	t.Parallel()
	key := canary()
	upstream := orgatest.New(t)
	upstream.AcceptKeys(key)
	env := []string{
		"ORGA_API_KEY=" + key, "ORGA_BASE_URL=" + upstream.URL, "ORGA_AUTH=anonymous",
		"ORGA_CORS_ORIGINS=https://app.example", "ORGA_RATE_LIMIT=1000/1m", "ORGA_DEBUG=true",
	}
	aws := startLambda(t, "aws-lambda", key, env...)
	netlify := startLambda(t, "orga-session", key, env...)
	entrypoints := map[string]entrypoint{
		"Google":          overHTTP(startGoogle(t, key, env...)),
		"Netlify, direct": overLambda(netlify, direct),
	}
	for name, event := range triggers {
		api := aws
		if name == "Netlify" {
			api = netlify
		}
		entrypoints[name] = overLambda(api, event)
	}

	page := func(origin string) map[string]string { return map[string]string{"Origin": origin} }
	body := func(contentType string) map[string]string { return map[string]string{"Content-Type": contentType} }
	tests := []struct {
		name string
		request
		status int
	}{
		{"a mint", request{"GET", mint, nil, ""}, 200},
		{"the alias", request{"GET", "/api/orga-session", nil, ""}, 200},
		{"a query is not looked at", request{"GET", mint + "?a=b%26c", nil, ""}, 200},
		{"POST without a body", request{"POST", mint, nil, ""}, 200},
		{"POST with JSON", request{"POST", mint, body("application/json"), `{"ü":[1]}`}, 200},
		{"POST with another type", request{"POST", mint, body("text/plain"), "hello"}, 415},
		{"POST with broken JSON", request{"POST", mint, body("application/json"), `{"a"`}, 400},
		{"POST of 16 KiB and a byte", request{"POST", mint, body("application/json"), strings.Repeat(" ", 16<<10+1)}, 413},
		{"another method", request{"DELETE", mint, nil, ""}, 405},
		{"HEAD of a mint", request{"HEAD", mint, nil, ""}, 405},
		{"an unknown tenant", request{"GET", mint + "/acme", nil, ""}, 403},
		{"an unknown route", request{"GET", "/api/nothing", nil, ""}, 404},
		{"an escaped slash", request{"GET", mint + "%2Facme", nil, ""}, 404},
		{"a trailing slash", request{"GET", mint + "/", nil, ""}, 404},
		{"health", request{"GET", "/healthz", nil, ""}, 200},
		{"HEAD of health", request{"HEAD", "/healthz", nil, ""}, 200},
		{"readiness", request{"GET", "/readyz", nil, ""}, 200},
		{"the endpoint's own page", request{"GET", mint, page("https://" + host), ""}, 200},
		{"a listed page", request{"GET", mint, page("https://app.example"), ""}, 200},
		{"a page that is not listed", request{"GET", mint, page("https://evil.example"), ""}, 403},
		{"a preflight", request{"OPTIONS", mint, map[string]string{"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}, ""}, 204},
	}
	for _, tt := range tests {
		if tt.header == nil {
			tt.header = map[string]string{}
		}
		tt.header["X-Request-Id"] = "the-same-for-all"
		var first string
		var want answer
		for _, name := range slices.Sorted(maps.Keys(entrypoints)) {
			got := entrypoints[name](t, tt.request)
			if got.status != tt.status {
				t.Errorf("%s, %s: status %d, want %d: %s", tt.name, name, got.status, tt.status, got.body)
			}
			checkHeaders(t, tt.name+", "+name, got.header)
			if tt.status == http.StatusOK && strings.HasPrefix(tt.path, "/api/") {
				checkMint(t, tt.name+", "+name, got, upstream)
			}
			for header, values := range got.header {
				if form := secrettest.Leak(header+strings.Join(values, ""), key); form != "" {
					t.Errorf("fault 17: %s, %s: the key is in %s as %s", tt.name, name, header, form)
				}
			}
			if form := secrettest.Leak(got.body, key); form != "" {
				t.Errorf("fault 46: %s, %s: the key is in the body as %s", tt.name, name, form)
			}
			if got = normal(got); first == "" {
				first, want = name, got
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s answers\n%+v\n%s answers\n%+v", tt.name, name, got, first, want)
			}
		}
	}
}

// TestUncleanPath: an unclean path is a 404. On Google, the framework's own mux redirects it before the function sees it.
func TestUncleanPath(t *testing.T) {
	t.Parallel()
	want := map[string]int{"Google": http.StatusTemporaryRedirect}
	entrypoints := map[string]entrypoint{
		"Google":  overHTTP(startGoogle(t, "")),
		"AWS":     overLambda(startLambda(t, "aws-lambda", ""), triggers["Function URL"]),
		"Netlify": overLambda(startLambda(t, "orga-session", ""), triggers["Netlify"]),
	}
	for name, do := range entrypoints {
		for _, path := range []string{"//api/orga-session", "/api//orga-session", "/api/./orga-session", "/api/x/../orga-session"} {
			if got := do(t, request{method: "GET", path: path}); got.status != cmp.Or(want[name], http.StatusNotFound) {
				t.Errorf("%s: %s answers %d %s", name, path, got.status, got.body)
			}
		}
	}
}

// checkHeaders checks the headers of every answer.
func checkHeaders(t *testing.T, name string, h http.Header) {
	t.Helper()
	for header, value := range map[string]string{
		"Cache-Control": "no-store", "Cdn-Cache-Control": "no-store", "Pragma": "no-cache",
		"X-Content-Type-Options": "nosniff", "Vary": "Origin", "X-Request-Id": "the-same-for-all",
	} {
		if got := h.Values(header); !slices.Equal(got, []string{value}) {
			t.Errorf("%s: %s is %q, want %q", name, header, got, value)
		}
	}
}

// checkMint reads an answer as Orga's client does, and the servers as browsers do.
func checkMint(t *testing.T, name string, a answer, upstream *orgatest.Server) {
	t.Helper()
	var config struct {
		EphemeralToken string
		ICEServers     []struct {
			URLs       any `json:"urls"`
			Username   *string
			Credential *string
		} `json:"iceServers"`
	}
	if err := json.Unmarshal([]byte(a.body), &config); err != nil {
		t.Fatalf("%s: %v: %s", name, err, a.body)
	}
	if tokens := upstream.Tokens(); config.EphemeralToken == "" || tokens[len(tokens)-1] != config.EphemeralToken {
		t.Errorf("%s: the token is not the one that was just minted", name)
	}
	username, credential := orgatest.Credential(config.EphemeralToken)
	if n := len(config.ICEServers); n != 2 {
		t.Fatalf("%s: %d ICE servers", name, n)
	}
	if turn := config.ICEServers[1]; turn.Username == nil || *turn.Username != username || turn.Credential == nil || *turn.Credential != credential {
		t.Errorf("%s: the TURN server's credentials are not the token's", name)
	}
}

var (
	token     = regexp.MustCompile(`"ephemeralToken":"([^"]*)"`)
	expiresAt = regexp.MustCompile(`"expiresAt":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`)
	expiresIn = regexp.MustCompile(`"expiresIn":1(20|19|18)\b`)
	millis    = regexp.MustCompile(`dur=\d+\.\d`)
	seconds   = regexp.MustCompile(`([rt])=\d+`)
)

// normal returns an answer without the parts that differ between mints, or that the platform adds.
func normal(a answer) answer {
	body := a.body
	if m := token.FindStringSubmatch(body); m != nil {
		username, credential := orgatest.Credential(m[1])
		body = strings.NewReplacer(m[1], "TOKEN", username, "USER", credential, "PASS").Replace(body)
	}
	body = expiresAt.ReplaceAllString(body, `"expiresAt":"SOON"`)
	body = expiresIn.ReplaceAllString(body, `"expiresIn":120`)
	h := a.header.Clone()
	for _, name := range []string{"Date", "Content-Length"} {
		h.Del(name)
	}
	for name, re := range map[string]*regexp.Regexp{"Server-Timing": millis, "Ratelimit": seconds} {
		for i, value := range h[name] {
			h[name][i] = re.ReplaceAllString(value, "N")
		}
	}
	return answer{a.status, h, body}
}

// TestNoHTTP: events that are not requests are answered, and the instance keeps serving.
func TestNoHTTP(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"aws-lambda", "orga-session"} {
		api := startLambda(t, program, "")
		for _, event := range []string{`{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}`, `{}`, `null`, `{"httpMethod":`} {
			got := invoke(t, api, []byte(event), lambdaruntime.Options{})
			if got.status != http.StatusBadRequest || !strings.Contains(got.body, `"code":"bad_request"`) ||
				got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s: got %+v", program, event, got)
			}
		}
	}
}

// TestFaultySettings: invalid settings do not end the process, and are reported.
func TestFaultySettings(t *testing.T) {
	t.Parallel()
	ambient := []string{"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=netlifys", "AWS_SECRET_ACCESS_KEY=netlifys", "AWS_SESSION_TOKEN=netlifys"}
	tests := []struct {
		name, program string
		env           []string
	}{
		{"nothing is set (AWS)", "aws-lambda", nil},
		{"nothing is set (Netlify)", "orga-session", nil},
		{"nothing is set (Google)", "gcp", nil},
		{"fault 16: awssm with the ambient credentials (Netlify)", "orga-session", append([]string{"ORGA_AUTH=anonymous", "ORGA_API_KEY_SOURCE=awssm:orga/key"}, ambient...)},
		{"a store that is not linked (Google)", "gcp", []string{"ORGA_AUTH=anonymous", "ORGA_API_KEY_SOURCE=awssm:orga/key"}},
		{"a store that is not linked (AWS)", "aws-lambda", []string{"ORGA_AUTH=anonymous", "ORGA_API_KEY_SOURCE=gcpsm:projects/p/secrets/s"}},
	}
	for _, tt := range tests {
		var do entrypoint
		switch tt.program {
		case "gcp":
			do = overHTTP(startGoogle(t, "", tt.env...))
		case "aws-lambda":
			do = overLambda(startLambda(t, tt.program, "", tt.env...), triggers["HTTP API"])
		default:
			do = overLambda(startLambda(t, tt.program, "", tt.env...), triggers["Netlify"])
		}
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/api/orga-session": 500} {
			got := do(t, request{method: "GET", path: path})
			if got.status != want || (want != 200) != strings.Contains(got.body, `"code":"misconfigured"`) {
				t.Errorf("%s: %s answers %d %s, want %d", tt.name, path, got.status, got.body, want)
			}
		}
	}
}
