package lambdahttp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/orga-session/orga-session/core/lambdahttp"
)

// kinds are the fixtures: one real event for each trigger.
var kinds = []string{"restapi", "httpapi", "functionurl", "alb", "alb-multi", "netlify"}

// read returns a fixture with a JSON merge patch (RFC 7396) applied: null removes a member.
func read(tb testing.TB, kind, patch string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + kind + ".json")
	if err != nil {
		tb.Fatal(err)
	}
	var event, change map[string]any
	if err := json.Unmarshal(b, &event); err != nil {
		tb.Fatal(err)
	}
	if patch != "" {
		if err := json.Unmarshal([]byte(patch), &change); err != nil {
			tb.Fatalf("patch %s: %v", patch, err)
		}
	}
	b, err = json.Marshal(merge(event, change))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func merge(target, patch map[string]any) map[string]any {
	out := maps.Clone(target)
	if out == nil {
		out = make(map[string]any)
	}
	for name, value := range patch {
		switch v := value.(type) {
		case nil:
			delete(out, name)
		case map[string]any:
			inner, _ := out[name].(map[string]any)
			out[name] = merge(inner, v)
		default:
			out[name] = v
		}
	}
	return out
}

// adapt returns the adapter of h for events of the given kind.
func adapt(kind string, h http.Handler) lambda.Handler {
	if kind == "netlify" {
		return lambdahttp.Netlify(h)
	}
	return lambdahttp.AWS(h, 1)
}

// seen returns the handler's request for an event.
func seen(t *testing.T, ctx context.Context, kind string, event []byte) *http.Request {
	t.Helper()
	var got *http.Request
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })
	if _, err := adapt(kind, h).Invoke(ctx, event); err != nil {
		t.Fatal(err)
	}
	if got == nil {
		t.Fatalf("the handler was not called for %s", event)
	}
	return got
}

// answer is a trigger's response to its client.
type answer struct {
	status int
	header http.Header
	body   string
}

// answerTo returns h's answer to an event. It decodes strictly with AWS's own types, so that an unknown member is an
// error.
func answerTo(tb testing.TB, kind string, h http.Handler, event []byte) answer {
	tb.Helper()
	b, err := adapt(kind, h).Invoke(context.Background(), event)
	if err != nil {
		tb.Fatalf("an invocation error: %v", err)
	}
	strict := func(v any) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			tb.Fatalf("the answer %s does not fit %T: %v", b, v, err)
		}
	}
	got := answer{header: make(http.Header)}
	var isBase64 bool
	single := func(h map[string]string) {
		for name, value := range h {
			got.header.Add(name, value)
		}
	}
	multi := func(h map[string][]string) {
		for name, values := range h {
			for _, value := range values {
				got.header.Add(name, value)
			}
		}
	}
	switch kind {
	case "restapi", "netlify":
		var r events.APIGatewayProxyResponse
		strict(&r)
		got.status, got.body, isBase64 = r.StatusCode, r.Body, r.IsBase64Encoded
		single(r.Headers)
		multi(r.MultiValueHeaders)
	case "httpapi":
		var r events.APIGatewayV2HTTPResponse
		strict(&r)
		got.status, got.body, isBase64 = r.StatusCode, r.Body, r.IsBase64Encoded
		single(r.Headers)
		multi(map[string][]string{"Set-Cookie": r.Cookies})
	case "functionurl":
		var r events.LambdaFunctionURLResponse
		strict(&r)
		got.status, got.body, isBase64 = r.StatusCode, r.Body, r.IsBase64Encoded
		single(r.Headers)
		multi(map[string][]string{"Set-Cookie": r.Cookies})
	default: // a load balancer reads one form of the headers, as its target group is set
		var r events.ALBTargetGroupResponse
		strict(&r)
		got.status, got.body, isBase64 = r.StatusCode, r.Body, r.IsBase64Encoded
		if r.StatusDescription == "" {
			tb.Errorf("%s has no status description", b)
		}
		if kind == "alb" {
			single(r.Headers)
		} else {
			multi(r.MultiValueHeaders)
		}
	}
	if isBase64 {
		text, err := base64.StdEncoding.DecodeString(got.body)
		if err != nil {
			tb.Fatal(err)
		}
		got.body = string(text)
	}
	return got
}
