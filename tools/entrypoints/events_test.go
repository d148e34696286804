package entrypoints

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/tools/lambdaevent"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// The platforms' data in every request.
const (
	host       = "orga.example"
	clientAddr = "192.0.2.10"
)

// object is a JSON object.
type object = map[string]any

// triggers create a trigger's event for a request.
var triggers = map[string]func(request) object{
	"REST API":         trigger(lambdaevent.RESTAPI, "prod", false),
	"HTTP API":         trigger(lambdaevent.HTTPAPI, "prod", true),
	"Function URL":     trigger(lambdaevent.HTTPAPI, "", true),
	"ALB":              trigger(lambdaevent.ALB, "", false),
	"ALB, multi-value": trigger(lambdaevent.ALBMultiValue, "", false),
	"Netlify":          trigger(lambdaevent.Netlify, "", true),
}

func trigger(event func(lambdaevent.Request) object, stage string, encoded bool) func(request) object {
	return func(r request) object {
		path, query, _ := strings.Cut(r.path, "?")
		header := http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"203.0.113.9"}}
		for name, value := range r.header {
			header.Set(name, value)
		}
		body := r.body
		if encoded {
			body = base64.StdEncoding.EncodeToString([]byte(body))
		}
		return event(lambdaevent.Request{
			Method: r.method, Path: path, Query: query, Header: header, Body: body, IsBase64Encoded: encoded,
			Addr: clientAddr, Host: host, ID: "front-end-id", Stage: stage,
		})
	}
}

// direct creates Netlify's event for a call that bypasses the redirects.
func direct(r request) object {
	r.path = "/.netlify/functions/orga-session/" + strings.TrimPrefix(strings.TrimPrefix(r.path, "/api"), "/")
	return triggers["Netlify"](r)
}

// overLambda sends events to a binary behind a Runtime API.
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
