package entrypoints

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// What each platform says of every request.
const (
	host       = "orga.example"
	clientAddr = "192.0.2.10"
)

// object is a JSON object.
type object = map[string]any

// triggers make the event that a trigger would for a request.
var triggers = map[string]func(request) object{
	"REST API": func(r request) object {
		path, query := r.split()
		return object{
			"resource": "/{proxy+}", "path": path, "httpMethod": r.method,
			"headers": r.headers(), "multiValueHeaders": lists(r.headers()),
			"queryStringParameters": nil, "multiValueQueryStringParameters": query,
			"requestContext": object{
				"stage": "prod", "path": "/prod" + path, "requestId": "rest-id",
				"identity": object{"sourceIp": clientAddr},
			},
			"body": text(r.body), "isBase64Encoded": false,
		}
	},
	"HTTP API":     func(r request) object { return v2(r, "/prod", "prod") },
	"Function URL": func(r request) object { return v2(r, "", "$default") },
	"ALB": func(r request) object {
		path, _, _ := strings.Cut(r.path, "?")
		headers := r.headers()
		headers["x-forwarded-for"] = "203.0.113.9, " + clientAddr
		return object{
			"requestContext": object{"elb": object{"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:000000000000:targetgroup/orga/0"}},
			"httpMethod":     r.method, "path": path, "queryStringParameters": object{},
			"headers": headers, "body": r.body, "isBase64Encoded": false,
		}
	},
	"ALB, multi-value": func(r request) object {
		path, _, _ := strings.Cut(r.path, "?")
		headers := lists(r.headers())
		headers["x-forwarded-for"] = []string{"203.0.113.9, " + clientAddr}
		return object{
			"requestContext": object{"elb": object{"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:000000000000:targetgroup/orga/0"}},
			"httpMethod":     r.method, "path": path, "multiValueQueryStringParameters": object{},
			"multiValueHeaders": headers, "body": r.body, "isBase64Encoded": false,
		}
	},
	"Netlify": func(r request) object {
		path, query := r.split()
		headers := r.headers()
		headers["x-nf-client-connection-ip"] = clientAddr
		return object{
			"path": path, "httpMethod": r.method, "headers": headers, "multiValueHeaders": lists(headers),
			"queryStringParameters": object{}, "multiValueQueryStringParameters": query,
			"body": base64.StdEncoding.EncodeToString([]byte(r.body)), "isBase64Encoded": true,
			"rawUrl": "https://" + host + r.path, "rawQuery": query.Encode(),
		}
	},
}

// direct is Netlify's event for a call of the function itself, past the redirects.
func direct(r request) object {
	r.path = "/.netlify/functions/orga-session/" + strings.TrimPrefix(strings.TrimPrefix(r.path, "/api"), "/")
	return triggers["Netlify"](r)
}

func v2(r request, prefix, stage string) object {
	path, query, _ := strings.Cut(r.path, "?")
	return object{
		"version": "2.0", "routeKey": "$default", "rawPath": prefix + path, "rawQueryString": query,
		"headers": r.headers(),
		"requestContext": object{
			"stage": stage, "requestId": "v2-id",
			"http": object{"method": r.method, "path": prefix + path, "sourceIp": clientAddr},
		},
		"body": base64.StdEncoding.EncodeToString([]byte(r.body)), "isBase64Encoded": true,
	}
}

func (r request) split() (string, url.Values) {
	path, query, _ := strings.Cut(r.path, "?")
	values, _ := url.ParseQuery(query)
	return path, values
}

func (r request) headers() map[string]string {
	headers := map[string]string{"host": host, "x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}
	for name, value := range r.header {
		headers[strings.ToLower(name)] = value
	}
	return headers
}

func lists(headers map[string]string) map[string][]string {
	multi := make(map[string][]string)
	for name, value := range headers {
		multi[name] = []string{value}
	}
	return multi
}

// text is a body as REST APIs send it: null for none.
func text(body string) any {
	if body == "" {
		return nil
	}
	return body
}

// overLambda is the way to a binary behind a Runtime API.
func overLambda(api *lambdaruntime.API, event func(request) object) entrypoint {
	return overLambdaWith(api, event, lambdaruntime.Options{})
}

func overLambdaWith(api *lambdaruntime.API, event func(request) object, options lambdaruntime.Options) entrypoint {
	return func(t *testing.T, r request) answer {
		t.Helper()
		b, err := json.Marshal(event(r))
		if err != nil {
			t.Fatal(err)
		}
		return invoke(t, api, b, options)
	}
}

func invoke(t *testing.T, api *lambdaruntime.API, event []byte, options lambdaruntime.Options) answer {
	t.Helper()
	b, err := api.Invoke(t.Context(), event, options)
	if err != nil {
		t.Fatalf("an invocation error: %v", err)
	}
	var r struct {
		StatusCode        int
		Headers           map[string]string
		MultiValueHeaders map[string][]string
		Body              string
		IsBase64Encoded   bool
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	got := answer{r.StatusCode, make(http.Header), r.Body}
	for name, value := range r.Headers {
		got.header.Set(name, value)
	}
	maps.Copy(got.header, r.MultiValueHeaders)
	if r.IsBase64Encoded {
		t.Errorf("text came as base64: %s", b)
	}
	return got
}
