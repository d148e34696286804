// Package lambdaevent creates the events with which API Gateway, Function URLs, load balancers and Netlify invoke a Lambda
// function, as in the platforms' documentation.
package lambdaevent

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Event is an event to marshal.
type Event = map[string]any

// Request is a request as received by the front end.
type Request struct {
	Method          string
	Path, Query     string // escaped, as sent
	Header          http.Header
	Body            string
	IsBase64Encoded bool   // Body is
	Addr            string // of the client
	Host            string // unless the header has one
	ID              string // of the request at the front end
	Stage           string // of an API without a custom domain
}

const account = "000000000000"

// HTTPAPI returns the event of an HTTP API (payload format 2.0) or, without a stage, of a Function URL.
func HTTPAPI(r Request) Event {
	stage, path := "$default", r.Path
	if r.Stage != "" {
		stage, path = r.Stage, "/"+r.Stage+r.Path
	}
	headers := make(map[string]string)
	for name, values := range r.headers() {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	delete(headers, "cookie")
	event := Event{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": r.Query, "headers": headers,
		"isBase64Encoded": r.IsBase64Encoded,
		"requestContext": Event{
			"accountId": account, "apiId": "api", "domainName": headers["host"], "domainPrefix": "api", "requestId": r.ID,
			"routeKey": "$default", "stage": stage,
			"time": time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), "timeEpoch": time.Now().UnixMilli(),
			"http": Event{"method": r.Method, "path": path, "protocol": "HTTP/1.1", "sourceIp": r.Addr, "userAgent": headers["user-agent"]},
		},
	}
	if cookies := r.Header["Cookie"]; len(cookies) > 0 {
		event["cookies"] = strings.Split(strings.Join(cookies, "; "), "; ")
	}
	if r.Body != "" {
		event["body"] = r.Body
	}
	return event
}

// RESTAPI returns the event of a REST API (payload format 1.0).
func RESTAPI(r Request) Event {
	headers, query := r.headers(), r.query(url.QueryUnescape)
	context := Event{
		"accountId": account, "apiId": "api", "resourceId": "proxy", "resourcePath": "/{proxy+}", "httpMethod": r.Method,
		"stage": "prod", "path": r.Path, "protocol": "HTTP/1.1", "requestId": r.ID, "domainName": headers.Get("Host"),
		"requestTimeEpoch": time.Now().UnixMilli(), "identity": Event{"sourceIp": r.Addr, "userAgent": headers.Get("User-Agent")},
	}
	if r.Stage != "" {
		context["stage"], context["path"] = r.Stage, "/"+r.Stage+r.Path
	}
	event := Event{
		"resource": "/{proxy+}", "path": r.Path, "httpMethod": r.Method, "headers": last(headers), "multiValueHeaders": headers,
		"queryStringParameters": last(query), "multiValueQueryStringParameters": query,
		"pathParameters": Event{"proxy": strings.TrimPrefix(r.Path, "/")}, "stageVariables": nil,
		"body": nil, "isBase64Encoded": r.IsBase64Encoded, "requestContext": context,
	}
	if r.Body != "" {
		event["body"] = r.Body
	}
	return event
}

// ALB returns the event of an Application Load Balancer.
func ALB(r Request) Event {
	event := ALBMultiValue(r)
	event["headers"] = last(event["multiValueHeaders"].(map[string][]string))
	event["queryStringParameters"] = last(event["multiValueQueryStringParameters"].(map[string][]string))
	delete(event, "multiValueHeaders")
	delete(event, "multiValueQueryStringParameters")
	return event
}

// ALBMultiValue is [ALB] for a target group with multi-value headers.
func ALBMultiValue(r Request) Event {
	headers := make(map[string][]string)
	for name, values := range r.headers() {
		headers[strings.ToLower(name)] = values
	}
	return Event{
		"requestContext": Event{"elb": Event{"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:" + account + ":targetgroup/orga/0"}},
		"httpMethod":     r.Method, "path": r.Path, "body": r.Body, "isBase64Encoded": r.IsBase64Encoded,
		"multiValueHeaders":               headers,
		"multiValueQueryStringParameters": r.query(func(s string) (string, error) { return s, nil }), // not unescaped
	}
}

// Netlify returns the event of a Netlify function. Its body is always base64.
func Netlify(r Request) Event {
	headers, query := r.headers(), r.query(url.QueryUnescape)
	headers.Set("X-Nf-Client-Connection-Ip", r.Addr)
	body := r.Body
	if !r.IsBase64Encoded {
		body = base64.StdEncoding.EncodeToString([]byte(body))
	}
	target := r.Path
	if r.Query != "" {
		target += "?" + r.Query
	}
	return Event{
		"path": r.Path, "httpMethod": r.Method, "headers": last(headers), "multiValueHeaders": headers,
		"queryStringParameters": last(query), "multiValueQueryStringParameters": query,
		"body": body, "isBase64Encoded": true, "rawUrl": "https://" + headers.Get("Host") + target, "rawQuery": r.Query,
	}
}

// headers returns the headers that the front end passes on, with the client's address added.
func (r Request) headers() http.Header {
	h := maps.Clone(r.Header)
	if h == nil {
		h = make(http.Header)
	}
	h["Host"] = []string{cmp.Or(h.Get("Host"), r.Host)}
	h["X-Forwarded-For"] = []string{strings.Join(append(h["X-Forwarded-For"], r.Addr), ", ")}
	return h
}

func (r Request) query(decode func(string) (string, error)) map[string][]string {
	query := make(map[string][]string)
	for part := range strings.SplitSeq(r.Query, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, nameErr := decode(name)
		value, valueErr := decode(value)
		if name != "" && nameErr == nil && valueErr == nil {
			query[name] = append(query[name], value)
		}
	}
	return query
}

func last(lists map[string][]string) map[string]string {
	single := make(map[string]string, len(lists))
	for name, values := range lists {
		single[name] = values[len(values)-1]
	}
	return single
}
