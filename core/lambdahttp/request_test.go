package lambdahttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/platform"
)

// dump formats everything that a handler can see of a request.
func dump(t *testing.T, r *http.Request) string {
	t.Helper()
	var b strings.Builder
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%s %s from %s\n", r.Method, r.RequestURI, r.RemoteAddr)
	fmt.Fprintf(&b, "%s%s?%s\n", r.Host, r.URL.EscapedPath(), r.URL.RawQuery)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(r.Header[name], " | "))
	}
	fmt.Fprintf(&b, "%d %s\n", r.ContentLength, body)
	return b.String()
}

func TestRequest(t *testing.T) {
	tests := map[string]string{
		"restapi": `POST /prod/api/orga-client-secrets?tag=a%26b&tag=b+c&x=1 from 192.0.2.10:0
rest.example/api/orga-client-secrets?tag=a%26b&tag=b+c&x=1
Accept: application/json
Content-Type: application/json
X-Forwarded-For: 203.0.113.7, 198.51.100.1
X-Forwarded-Proto: https
X-Twice: first | second
7 {"a":1}
`,
		"httpapi": `POST /prod/api/orga-client-secrets?tag=a%26b&tag=b+c&x=1 from [2001:db8::10]:0
http.example/api/orga-client-secrets?tag=a%26b&tag=b+c&x=1
Accept: application/json
Content-Type: application/json
Cookie: theme=dark; lang=en
If-Modified-Since: Tue, 24 Nov 2026 06:00:00 GMT
X-Amzn-Trace-Id: Root=1-6744c3a0-0123456789abcdef01234567
X-Forwarded-For: 203.0.113.7, 198.51.100.1
X-Forwarded-Proto: https
X-Twice: first,second
7 {"a":1}
`,
		"functionurl": `POST /api/orga-client-secrets?tag=a%26b&tag=b+c&x=1 from 192.0.2.10:0
url.example/api/orga-client-secrets?tag=a%26b&tag=b+c&x=1
Accept: application/json
Content-Type: application/json
Cookie: theme=dark; lang=en
X-Amzn-Trace-Id: Root=1-6744c3a0-0123456789abcdef01234567
X-Forwarded-For: 203.0.113.7
X-Forwarded-Proto: https
X-Twice: first,second
7 {"a":1}
`,
		"alb": `POST /api/orga-client-secrets?tag=b+c&x=1 from 203.0.113.7:0
alb.example/api/orga-client-secrets?tag=b+c&x=1
Accept: application/json
Content-Type: application/json
X-Amzn-Trace-Id: Root=1-6744c3a0-0123456789abcdef01234567
X-Forwarded-For: 198.51.100.1, 203.0.113.7, 192.0.2.10
X-Forwarded-Port: 443
X-Forwarded-Proto: https
7 {"a":1}
`,
		"alb-multi": `POST /api/orga-client-secrets?tag=a%26b&tag=b+c&x=1 from 203.0.113.7:0
alb.example/api/orga-client-secrets?tag=a%26b&tag=b+c&x=1
Accept: application/json
Content-Type: application/json
X-Amzn-Trace-Id: Root=1-6744c3a0-0123456789abcdef01234567
X-Forwarded-For: 198.51.100.1, 203.0.113.7, 192.0.2.10
X-Forwarded-Port: 443
X-Forwarded-Proto: https
X-Twice: first | second
7 {"a":1}
`,
		"netlify": `POST /api/orga-client-secrets?tag=a%26b&tag=b+c&x=1 from 192.0.2.10:0
netlify.example/api/orga-client-secrets?tag=a%26b&tag=b+c&x=1
Accept: application/json
Client-Ip: 192.0.2.10
Content-Type: application/json
X-Forwarded-For: 203.0.113.7, 198.51.100.1
X-Forwarded-Proto: https
X-Nf-Client-Connection-Ip: 192.0.2.10
X-Twice: first, second
7 {"a":1}
`,
	}
	for _, kind := range kinds {
		if got := dump(t, seen(t, t.Context(), kind, read(t, kind, ""))); got != tests[kind] {
			t.Errorf("%s: got\n%s\nwant\n%s", kind, got, tests[kind])
		}
	}
}

// The fixtures are real events: AWS's own types know every member, and re-encoded events yield the same request.
func TestFixturesHaveTheRealShape(t *testing.T) {
	types := map[string]any{
		"restapi":     new(events.APIGatewayProxyRequest),
		"httpapi":     new(events.APIGatewayV2HTTPRequest),
		"functionurl": new(events.LambdaFunctionURLRequest),
		"alb":         new(events.ALBTargetGroupRequest),
		"alb-multi":   new(events.ALBTargetGroupRequest),
	}
	for kind, event := range types {
		fixture := read(t, kind, "")
		d := json.NewDecoder(bytes.NewReader(fixture))
		d.DisallowUnknownFields()
		if err := d.Decode(event); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		written, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		got, want := dump(t, seen(t, t.Context(), kind, written)), dump(t, seen(t, t.Context(), kind, fixture))
		if got != want {
			t.Errorf("%s: AWS's type makes\n%s\nthe fixture\n%s", kind, got, want)
		}
	}
}

func TestPath(t *testing.T) {
	tests := []struct {
		name, kind, patch string
		uri               string // as the client sent it
		path, escaped     string // as it is served
	}{
		{"HTTP API: the stage is cut", "httpapi", `{"rawPath":"/prod/a"}`, "/prod/a", "/a", "/a"},
		{"HTTP API: nothing but the stage", "httpapi", `{"rawPath":"/prod"}`, "/prod", "/", "/"},
		{"HTTP API: only at a slash", "httpapi", `{"rawPath":"/production/a"}`, "/production/a", "/production/a", "/production/a"},
		{"HTTP API: only once", "httpapi", `{"rawPath":"/prod/prod/a"}`, "/prod/prod/a", "/prod/a", "/prod/a"},
		{"HTTP API: another stage", "httpapi", `{"rawPath":"/dev/a"}`, "/dev/a", "/dev/a", "/dev/a"},
		{"HTTP API: a custom domain has no stage", "httpapi", `{"rawPath":"/a"}`, "/a", "/a", "/a"},
		{"HTTP API: $default is in no path", "httpapi", `{"rawPath":"/$default/a","requestContext":{"stage":"$default"}}`, "/$default/a", "/$default/a", "/$default/a"},
		{"REST API: the stage is gone already", "restapi", `{"path":"/a","requestContext":{"path":"/prod/a"}}`, "/prod/a", "/a", "/a"},
		{"REST API: a route named like the stage", "restapi", `{"path":"/prod/a","requestContext":{"path":"/prod/prod/a"}}`, "/prod/prod/a", "/prod/a", "/prod/a"},
		{"REST API: a custom domain", "restapi", `{"path":"/a","requestContext":{"path":"/a"}}`, "/a", "/a", "/a"},
		{"REST API: the stage is cut when it is there", "restapi", `{"path":"/prod/a","requestContext":{"path":"/prod/a"}}`, "/prod/a", "/a", "/a"},
		{"REST API: only at a slash", "restapi", `{"path":"/production/a","requestContext":{"path":"/production/a"}}`, "/production/a", "/production/a", "/production/a"},
		{"REST API: no path in the context", "restapi", `{"path":"/a","requestContext":{"path":null}}`, "/a", "/a", "/a"},
		{"ALB has no stage", "alb", `{"path":"/prod/a","requestContext":{"stage":"prod"}}`, "/prod/a", "/prod/a", "/prod/a"},
		{"an escaped slash", "functionurl", `{"rawPath":"/a%2Fb"}`, "/a%2Fb", "/a/b", "/a%2Fb"},
		{"an escaped slash behind a stage", "httpapi", `{"rawPath":"/prod/a%2Fb"}`, "/prod/a%2Fb", "/a/b", "/a%2Fb"},
		{"an escaped letter", "alb", `{"path":"/%61pi"}`, "/%61pi", "/api", "/%61pi"},
		{"a bare %", "functionurl", `{"rawPath":"/100%"}`, "/100%", "/100%", "/100%25"},
		{"a bare % (REST API)", "restapi", `{"path":"/100%","requestContext":{"path":null}}`, "/100%", "/100%", "/100%25"},
		{"unescaped by the platform", "functionurl", `{"rawPath":"/a b/ü"}`, "/a b/ü", "/a b/ü", "/a%20b/%C3%BC"},
		{"two slashes do not start a host", "functionurl", `{"rawPath":"//evil.example/a"}`, "//evil.example/a", "//evil.example/a", "//evil.example/a"},
		{"no path at all", "functionurl", `{"rawPath":""}`, "", "/", "/"},
		{"Netlify: a redirect keeps the path", "netlify", `{"path":"/api/orga-session/acme"}`, "/api/orga-session/acme", "/api/orga-session/acme", "/api/orga-session/acme"},
		{"Netlify: a direct call", "netlify", `{"path":"/.netlify/functions/orga-session/orga-client-secrets"}`, "/.netlify/functions/orga-session/orga-client-secrets", "/api/orga-client-secrets", "/api/orga-client-secrets"},
		{"Netlify: a direct call for a tenant", "netlify", `{"path":"/.netlify/functions/f/orga-client-secrets/acme"}`, "/.netlify/functions/f/orga-client-secrets/acme", "/api/orga-client-secrets/acme", "/api/orga-client-secrets/acme"},
		{"Netlify: a direct call of the alias", "netlify", `{"path":"/.netlify/functions/f/orga-session"}`, "/.netlify/functions/f/orga-session", "/api/orga-session", "/api/orga-session"},
		{"Netlify: health", "netlify", `{"path":"/.netlify/functions/f/healthz"}`, "/.netlify/functions/f/healthz", "/healthz", "/healthz"},
		{"Netlify: no function's name", "netlify", `{"path":"/.netlify/functions//orga-session"}`, "/.netlify/functions//orga-session", "/.netlify/functions//orga-session", "/.netlify/functions//orga-session"},
		{"Netlify: readiness", "netlify", `{"path":"/.netlify/functions/f/readyz"}`, "/.netlify/functions/f/readyz", "/readyz", "/readyz"},
		{"Netlify: nothing behind the name", "netlify", `{"path":"/.netlify/functions/f"}`, "/.netlify/functions/f", "/api/", "/api/"},
		{"Netlify: an unclean path stays so", "netlify", `{"path":"/.netlify/functions/f/healthz/"}`, "/.netlify/functions/f/healthz/", "/api/healthz/", "/api/healthz/"},
		{"Netlify's prefix means nothing on AWS", "functionurl", `{"rawPath":"/.netlify/functions/f/healthz"}`, "/.netlify/functions/f/healthz", "/.netlify/functions/f/healthz", "/.netlify/functions/f/healthz"},
	}
	noQuery := map[string]string{
		"restapi":     `{"queryStringParameters":null,"multiValueQueryStringParameters":null}`,
		"httpapi":     `{"rawQueryString":""}`,
		"functionurl": `{"rawQueryString":""}`,
		"alb":         `{"queryStringParameters":null}`,
		"netlify":     `{"rawQuery":""}`,
	}
	for _, tt := range tests {
		var a, b map[string]any
		if json.Unmarshal([]byte(tt.patch), &a) != nil || json.Unmarshal([]byte(noQuery[tt.kind]), &b) != nil {
			t.Fatalf("%s: a patch is not JSON", tt.name)
		}
		maps.Copy(a, b)
		patch, _ := json.Marshal(a)
		r := seen(t, t.Context(), tt.kind, read(t, tt.kind, string(patch)))
		if r.RequestURI != tt.uri || r.URL.Path != tt.path || r.URL.EscapedPath() != tt.escaped {
			t.Errorf("%s: got %q, %q, %q; want %q, %q, %q", tt.name, r.RequestURI, r.URL.Path, r.URL.EscapedPath(), tt.uri, tt.path, tt.escaped)
		}
	}
}

func TestQuery(t *testing.T) {
	tests := []struct{ name, kind, patch, want string }{
		{"REST API: values come unescaped", "restapi", `{"multiValueQueryStringParameters":{"tag":["100%","ü"],"x":null}}`, "tag=100%25&tag=%C3%BC&x=1"},
		{"REST API: single values alone", "restapi", `{"multiValueQueryStringParameters":null}`, "tag=b+c&x=1"},
		{"ALB: values come escaped", "alb-multi", `{"multiValueQueryStringParameters":{"tag":["100%25"],"x":null}}`, "tag=100%25"},
		{"none", "alb", `{"queryStringParameters":null}`, ""},
		{"HTTP API: as sent", "httpapi", `{"rawQueryString":"b=%zz&a"}`, "b=%zz&a"},
		{"Netlify: as sent", "netlify", `{"rawQuery":"b=%zz&a"}`, "b=%zz&a"},
		{"Netlify: from the address", "netlify", `{"rawQuery":null,"rawUrl":"https://h.example/p?b=1&a=2"}`, "b=1&a=2"},
		{"Netlify: from the values", "netlify", `{"rawQuery":null,"rawUrl":null}`, "tag=a%26b&tag=b+c&x=1"},
	}
	for _, tt := range tests {
		if got := seen(t, t.Context(), tt.kind, read(t, tt.kind, tt.patch)).URL.RawQuery; got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// null counts as no value. (A merge patch cannot put it into a fixture.)
func TestNullInQuery(t *testing.T) {
	for _, event := range []string{
		`{"httpMethod":"GET","path":"/","queryStringParameters":{"a":null,"x":"1"}}`,
		`{"httpMethod":"GET","path":"/","multiValueQueryStringParameters":{"a":null,"b":[null],"x":[null,"1"]}}`,
		`{"httpMethod":"GET","path":"/","multiValueQueryStringParameters":{"x":["1"]},"queryStringParameters":{"b":null},"requestContext":{"elb":{}}}`,
	} {
		for _, kind := range []string{"restapi", "netlify"} {
			if got := seen(t, t.Context(), kind, []byte(event)).URL.RawQuery; got != "x=1" {
				t.Errorf("%s, %s: got %q", kind, event, got)
			}
		}
	}
}

// Whether the client used https. API Gateway and Function URLs allow only https; the others set X-Forwarded-Proto.
func TestHTTPS(t *testing.T) {
	tests := []struct {
		kind, patch string
		want        bool
	}{
		{"restapi", `{"headers":{"X-Forwarded-Proto":"http"},"multiValueHeaders":{"X-Forwarded-Proto":["http"]}}`, true},
		{"httpapi", `{"headers":{"x-forwarded-proto":null}}`, true},
		{"functionurl", ``, true},
		{"alb", ``, true},
		{"alb", `{"headers":{"x-forwarded-proto":"http"}}`, false},
		{"alb-multi", `{"multiValueHeaders":{"x-forwarded-proto":["https","http"]}}`, false},
		{"alb", `{"headers":{"x-forwarded-proto":null}}`, false},
		{"netlify", ``, true},
		{"netlify", `{"headers":{"x-forwarded-proto":"http"},"multiValueHeaders":{"x-forwarded-proto":["http"]}}`, false},
	}
	for _, tt := range tests {
		r := seen(t, t.Context(), tt.kind, read(t, tt.kind, tt.patch))
		if got := platform.From(r.Context()).HTTPS; got != tt.want {
			t.Errorf("%s with %s: HTTPS %t", tt.kind, tt.patch, got)
		}
	}
}

func TestRemoteAddr(t *testing.T) {
	tests := []struct{ name, kind, patch, want string }{
		{"fault 30: a forged header is not read (REST API)", "restapi", `{"headers":{"X-Forwarded-For":"9.9.9.9"},"multiValueHeaders":{"X-Forwarded-For":["9.9.9.9"]}}`, "192.0.2.10:0"},
		{"fault 30: a forged header is not read (HTTP API)", "httpapi", `{"headers":{"x-forwarded-for":"9.9.9.9"}}`, "[2001:db8::10]:0"},
		{"fault 30: a forged header is not read (Netlify)", "netlify", `{"multiValueHeaders":{"x-forwarded-for":["9.9.9.9"],"client-ip":["9.9.9.9"]}}`, "192.0.2.10:0"},
		{"fault 30: what the client wrote is to the left (ALB)", "alb", `{"headers":{"x-forwarded-for":"9.9.9.9, 203.0.113.7, 192.0.2.10"}}`, "203.0.113.7:0"},
		{"ALB: several header lines", "alb-multi", `{"multiValueHeaders":{"x-forwarded-for":["9.9.9.9","203.0.113.7","192.0.2.10"]}}`, "203.0.113.7:0"},
		{"ALB: with a port", "alb", `{"headers":{"x-forwarded-for":"203.0.113.7:5555, 192.0.2.10:80"}}`, "203.0.113.7:0"},
		{"ALB: IPv6", "alb", `{"headers":{"x-forwarded-for":"2001:db8::7, 192.0.2.10"}}`, "[2001:db8::7]:0"},
		{"ALB: none", "alb", `{"headers":{"x-forwarded-for":null}}`, ""},
		{"ALB: garbage", "alb", `{"headers":{"x-forwarded-for":"unknown, 192.0.2.10"}}`, ""},
		{"fault 31: IPv4 in IPv6", "httpapi", `{"requestContext":{"http":{"sourceIp":"::ffff:1.2.3.4"}}}`, "1.2.3.4:0"},
		{"unknown", "httpapi", `{"requestContext":{"http":{"sourceIp":null}}}`, ""},
		{"garbage", "restapi", `{"requestContext":{"identity":{"sourceIp":"test-invoke-source-ip"}}}`, ""},
		{"Netlify: none", "netlify", `{"headers":{"x-nf-client-connection-ip":null},"multiValueHeaders":{"x-nf-client-connection-ip":[null]}}`, ""},
	}
	for _, tt := range tests {
		if got := seen(t, t.Context(), tt.kind, read(t, tt.kind, tt.patch)).RemoteAddr; got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestBody(t *testing.T) {
	tests := []struct {
		name, patch string
		length      int64
		want        string // "error" when reading fails
	}{
		{"text", `{"body":"hé","isBase64Encoded":false}`, 3, "hé"},
		{"base64", `{"body":"AP8=","isBase64Encoded":true}`, 2, "\x00\xff"},
		{"base64 without padding", `{"body":"AP8A","isBase64Encoded":true}`, 3, "\x00\xff\x00"},
		{"none", `{"body":null,"isBase64Encoded":false}`, 0, ""},
		{"none, marked as base64 (Netlify)", `{"body":"","isBase64Encoded":true}`, 0, ""},
		{"broken base64", `{"body":"====","isBase64Encoded":true}`, 1, "error"},
		{"no base64", `{"body":"{}","isBase64Encoded":true}`, 1, "error"},
	}
	for _, tt := range tests {
		for _, kind := range kinds {
			r := seen(t, t.Context(), kind, read(t, kind, tt.patch))
			got, err := io.ReadAll(r.Body)
			if err != nil {
				got = []byte("error")
			}
			if string(got) != tt.want || r.ContentLength != tt.length {
				t.Errorf("%s, %s: got %q of length %d, want %q of %d", tt.name, kind, got, r.ContentLength, tt.want, tt.length)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	tests := []struct{ name, kind, patch, header, want string }{
		{"cookies of a Function URL", "functionurl", ``, "Cookie", "theme=dark; lang=en"},
		{"cookies win over a header", "functionurl", `{"headers":{"cookie":"theme=dark"}}`, "Cookie", "theme=dark; lang=en"},
		{"no cookies", "functionurl", `{"cookies":null,"headers":{"cookie":"a=b"}}`, "Cookie", "a=b"},
		{"commas do not separate values", "httpapi", ``, "If-Modified-Since", "Tue, 24 Nov 2026 06:00:00 GMT"},
		{"lower case", "netlify", `{"multiValueHeaders":{"authorization":["Bearer x"]}}`, "Authorization", "Bearer x"},
		{"a null value", "netlify", `{"multiValueHeaders":{"authorization":[null]}}`, "Authorization", ""},
		{"one form has what the other lacks", "restapi", `{"headers":{"Authorization":"Bearer x"}}`, "Authorization", "Bearer x"},
		{"no multi-value headers (REST API)", "restapi", `{"multiValueHeaders":null}`, "X-Twice", "second"},
		{"the host is not a header", "restapi", ``, "Host", ""},
	}
	for _, tt := range tests {
		if got := strings.Join(seen(t, t.Context(), tt.kind, read(t, tt.kind, tt.patch)).Header[tt.header], " | "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestContext(t *testing.T) {
	at := time.Now().Add(time.Minute)
	ctx, cancel := context.WithDeadline(t.Context(), at)
	defer cancel()
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "lambda-id"})
	//nolint:staticcheck // the runtime's own key
	ctx = context.WithValue(ctx, "x-amzn-trace-id", "Root=1-0-0")

	ids := map[string]string{
		"restapi": "11111111-2222-3333-4444-555555555555", "httpapi": "HttpApiId", "functionurl": "99999999-2222-3333-4444-555555555555",
		"alb": "lambda-id", "alb-multi": "lambda-id", "netlify": "lambda-id",
	}
	for _, kind := range kinds {
		r := seen(t, ctx, kind, read(t, kind, ""))
		if got, ok := r.Context().Deadline(); !ok || !got.Equal(at) {
			t.Errorf("%s: deadline %v, want %v", kind, got, at)
		}
		if got := platform.From(r.Context()).RequestID; got != ids[kind] {
			t.Errorf("%s: request id %q, want %q", kind, got, ids[kind])
		}
		want := "Root=1-6744c3a0-0123456789abcdef01234567" // the event's own comes first
		if kind == "restapi" || kind == "netlify" {
			want = "Root=1-0-0"
		}
		if got := r.Header.Get("X-Amzn-Trace-Id"); got != want {
			t.Errorf("%s: trace %q, want %q", kind, got, want)
		}
	}
}
