package entrypoints

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

const mint = "/api/orga-client-secrets"

// Callers sign the path that they send, even if a platform removes parts of it before routing.
func TestHMACSignsThePathAsSent(t *testing.T) {
	t.Parallel()
	key, shared := canary(), rand.Text()+rand.Text() // a key needs at least 32 characters
	upstream := orgatest.New(t)
	env := []string{"ORGA_API_KEY=" + key, "ORGA_BASE_URL=" + upstream.URL, "ORGA_AUTH=hmac", "ORGA_AUTH_HMAC_KEY_SOURCE=env:SHARED", "SHARED=" + shared}
	aws := startLambda(t, "aws-lambda", shared, env...)
	netlify := startLambda(t, "orga-session", shared, env...)

	tests := []struct {
		name string
		do   entrypoint
		sent string
	}{
		{"REST API", overLambda(aws, triggers["REST API"]), "/prod" + mint},
		{"HTTP API", overLambda(aws, triggers["HTTP API"]), "/prod" + mint},
		{"Function URL", overLambda(aws, triggers["Function URL"]), mint},
		{"ALB", overLambda(aws, triggers["ALB"]), mint},
		{"Netlify", overLambda(netlify, triggers["Netlify"]), mint},
		{"Netlify, direct", overLambda(netlify, direct), "/.netlify/functions/orga-session/orga-client-secrets"},
		{"Google", overHTTP(startGoogle(t, shared, env...)), mint},
	}
	for _, tt := range tests {
		for path, want := range map[string]int{tt.sent: 200, tt.sent + "/": 401, "/api/orga-session": 401} {
			ts := time.Now().Unix()
			mac := hmac.New(sha256.New, []byte(shared))
			fmt.Fprintf(mac, "GET\n%s\n%d", path, ts)
			authorization := fmt.Sprintf("Orga-HMAC ts=%d,sig=%x", ts, mac.Sum(nil))
			got := tt.do(t, request{method: "GET", path: mint + "?a=1", header: map[string]string{"Authorization": authorization}})
			if got.status != want {
				t.Errorf("%s: signed for %s, got %d %s, want %d", tt.name, path, got.status, got.body, want)
			}
		}
	}
}

// Verified identities come only from the platform's event, never from anything that a client can write.
func TestGateway(t *testing.T) {
	t.Parallel()
	key := canary()
	upstream := orgatest.New(t)
	env := []string{"ORGA_API_KEY=" + key, "ORGA_BASE_URL=" + upstream.URL, "ORGA_AUTH=gateway"}
	aws := startLambda(t, "aws-lambda", key, env...)
	netlify := startLambda(t, "orga-session", key, env...)

	with := func(trigger, authorizer string) func(request) object {
		return func(r request) object {
			event := triggers[trigger](r)
			var a any
			if err := json.Unmarshal([]byte(authorizer), &a); err != nil {
				t.Fatal(err)
			}
			event["requestContext"].(object)["authorizer"] = a
			return event
		}
	}
	user := func(custom string) entrypoint {
		context, err := json.Marshal(object{"custom": object{"netlify": base64.StdEncoding.EncodeToString([]byte(custom))}})
		if err != nil {
			t.Fatal(err)
		}
		return overLambdaWith(netlify, triggers["Netlify"], lambdaruntime.Options{ClientContext: context})
	}
	tests := []struct {
		name string
		do   entrypoint
		want int
	}{
		{"HTTP API: a JWT", overLambda(aws, with("HTTP API", `{"jwt":{"claims":{"sub":"ada"},"scopes":null}}`)), 200},
		{"HTTP API: an empty object", overLambda(aws, with("HTTP API", `{"jwt":{"claims":{}},"lambda":{}}`)), 401},
		{"HTTP API: no authorizer", overLambda(aws, triggers["HTTP API"]), 401},
		{"REST API: a principal", overLambda(aws, with("REST API", `{"principalId":"ada"}`)), 200},
		{"REST API: no authorizer", overLambda(aws, triggers["REST API"]), 401},
		{"Function URL: IAM", overLambda(aws, with("Function URL", `{"iam":{"userArn":"arn:aws:iam::000000000000:user/ada"}}`)), 200},
		{"ALB: whatever is in the event", overLambda(aws, with("ALB", `{"principalId":"ada"}`)), 401},
		{"Netlify: a user", user(`{"identity":{"url":"https://site.example/.netlify/identity"},"user":{"sub":"ada"}}`), 200},
		{"Netlify: no user", user(`{"identity":{"url":"https://site.example/.netlify/identity"}}`), 401},
		{"Netlify: whatever is in the event", overLambda(netlify, func(r request) object {
			event := triggers["Netlify"](r)
			event["requestContext"] = object{"user": object{"sub": "ada"}, "authorizer": object{"principalId": "ada"}}
			return event
		}), 401},
		{"Google: IAM is required", overHTTP(startGoogle(t, key, append([]string{"ORGA_GCP_IAM_REQUIRED=true"}, env...)...)), 200},
		{"Google: it is not", overHTTP(startGoogle(t, key, env...)), 401},
	}
	forged := map[string]string{
		"X-Amzn-Oidc-Identity": "ada", "X-Amzn-Oidc-Data": "a.b.c", "X-Goog-Authenticated-User-Id": "1",
		"X-Amz-Client-Context": "e30=", "Lambda-Runtime-Client-Context": "{}", "X-Orga-Tenant": "acme",
	}
	for _, tt := range tests {
		for _, header := range []map[string]string{nil, forged} {
			if got := tt.do(t, request{method: "GET", path: mint, header: header}); got.status != tt.want {
				t.Errorf("fault 24: %s, %d forged headers: got %d %s, want %d", tt.name, len(header), got.status, got.body, tt.want)
			}
		}
	}
}

// Fault 30 and 31: forged address headers do not make one caller count as several.
func TestForgedAddressesAreOneCaller(t *testing.T) {
	t.Parallel()
	key := canary()
	upstream := orgatest.New(t)
	env := []string{"ORGA_API_KEY=" + key, "ORGA_BASE_URL=" + upstream.URL, "ORGA_AUTH=anonymous", "ORGA_RATE_LIMIT=5/1h"}
	for _, name := range []string{"REST API", "HTTP API", "Function URL", "Netlify"} {
		program := "aws-lambda"
		if name == "Netlify" {
			program = "orga-session"
		}
		do := overLambda(startLambda(t, program, key, env...), triggers[name])
		allowed := 0
		for i := range 20 {
			forged := fmt.Sprintf("203.0.113.%d", i)
			got := do(t, request{method: "GET", path: mint, header: map[string]string{"X-Forwarded-For": forged, "Client-Ip": forged, "Forwarded": "for=" + forged}})
			if got.status == 200 {
				allowed++
			} else if got.status != 429 || !strings.Contains(got.body, `"code":"rate_limited"`) {
				t.Errorf("%s: got %d %s", name, got.status, got.body)
			}
		}
		if allowed != 5 {
			t.Errorf("%s: %d of 20 were allowed, want 5", name, allowed)
		}
	}
}
