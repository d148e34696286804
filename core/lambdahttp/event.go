package lambdahttp

import (
	"encoding/json"
	"errors"
)

// event is what the triggers' events have in common, as far as it is used. Every trigger fills a part
// of it; what a trigger does not send stays zero. Members that only some triggers read are read with take.
type event struct {
	Type member[string] `json:"type"` // only in the events of authorizers, which otherwise look like requests

	// REST API, HTTP API with payload format 1.0, ALB, Netlify.
	HTTPMethod        member[string]               `json:"httpMethod"`
	Path              member[string]               `json:"path"`
	Headers           map[string]*string           `json:"headers"` // HTTP API and Function URL too
	MultiValueHeaders member[map[string][]*string] `json:"multiValueHeaders"`
	Query             member[map[string]*string]   `json:"queryStringParameters"`
	MultiValueQuery   member[map[string][]*string] `json:"multiValueQueryStringParameters"`

	// HTTP API, Function URL.
	RawPath        member[string]   `json:"rawPath"`
	RawQueryString member[string]   `json:"rawQueryString"`
	Cookies        member[[]string] `json:"cookies"`

	// Netlify.
	RawURL   member[string]  `json:"rawUrl"`
	RawQuery member[*string] `json:"rawQuery"`

	Body            string `json:"body"`
	IsBase64Encoded bool   `json:"isBase64Encoded"`

	RequestContext member[requestContext] `json:"requestContext"` // not on Netlify

	fault error // the first fault that take or header found
}

type requestContext struct {
	RequestID member[string] `json:"requestId"`
	Stage     member[string] `json:"stage"`
	Path      member[string] `json:"path"` // REST API: with the stage, where the client sent it
	ELB       any            `json:"elb"`
	HTTP      member[struct {
		Method   string `json:"method"`
		SourceIP string `json:"sourceIp"`
	}] `json:"http"`
	Identity member[struct {
		SourceIP string `json:"sourceIp"`
	}] `json:"identity"`
	Authorizer any `json:"authorizer"`
}

// member is a member of an event whose type matters only to the triggers that read it: elsewhere, something
// of another type under its name does not spoil the event.
type member[T any] struct {
	value    T
	mistyped bool
}

func (m *member[T]) UnmarshalJSON(b []byte) error {
	m.mistyped = json.Unmarshal(b, &m.value) != nil
	return nil
}

// take returns m's value. If m has another type, e is no event of a trigger that is served.
func take[T any](e *event, m member[T]) T {
	if m.mistyped {
		e.refuse(errNoHTTP)
	}
	return m.value
}

// refuse records a fault. That e is no HTTP event outweighs all others.
func (e *event) refuse(fault error) {
	if !errors.Is(e.fault, errNoHTTP) {
		e.fault = fault
	}
}

var (
	errNoHTTP       = errors.New("the event is not an HTTP request of a supported trigger")
	errTwoSpellings = errors.New("a header has two spellings with different values")
)

// isRequest reports whether an event has what every HTTP request has, where those that say httpMethod have it.
// A Bedrock agent's says httpMethod, too, and its path is not a URL's. An authorizer's has a type.
func (e *event) isRequest() bool {
	return e.Type.value == "" && e.HTTPMethod.value != "" && e.Path.value != ""
}
