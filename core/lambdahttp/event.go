package lambdahttp

import (
	"encoding/json"
	"errors"
)

// event has the members of all triggers that the adapter uses. Members that a trigger does not send stay zero. Members
// that only some triggers read are read with take.
type event struct {
	Type member[string] `json:"type"` // only in authorizers' events, which otherwise look like requests

	// REST API, HTTP API with payload format 1.0, ALB, Netlify.
	HTTPMethod        member[string]               `json:"httpMethod"`
	Path              member[string]               `json:"path"`
	Headers           map[string]*string           `json:"headers"` // also HTTP API and Function URL
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

	fault error // the first fault found by take or header
}

type requestContext struct {
	RequestID member[string] `json:"requestId"`
	Stage     member[string] `json:"stage"`
	Path      member[string] `json:"path"` // REST API: with the stage, if the client sent it
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

// member is a member whose type matters only to the triggers that read it: for other triggers, a value of another type is
// not a fault.
type member[T any] struct {
	value    T
	mistyped bool
}

func (m *member[T]) UnmarshalJSON(b []byte) error {
	m.mistyped = json.Unmarshal(b, &m.value) != nil
	return nil
}

// take returns m's value. If m has another type, e is not an event of a supported trigger.
func take[T any](e *event, m member[T]) T {
	if m.mistyped {
		e.refuse(errNoHTTP)
	}
	return m.value
}

// refuse records a fault. That e is not an HTTP event takes precedence over all others.
func (e *event) refuse(fault error) {
	if !errors.Is(e.fault, errNoHTTP) {
		e.fault = fault
	}
}

var (
	errNoHTTP       = errors.New("the event is not an HTTP request of a supported trigger")
	errTwoSpellings = errors.New("a header has two spellings with different values")
)

// isRequest reports whether an event has the members of every HTTP request. A Bedrock agent's event also has httpMethod,
// but its path is not a URL path. An authorizer's event has a type.
func (e *event) isRequest() bool {
	return e.Type.value == "" && e.HTTPMethod.value != "" && e.Path.value != ""
}
