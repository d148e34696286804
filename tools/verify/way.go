package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// direct is the way to an endpoint that speaks HTTP itself.
type direct struct {
	base  string
	front func(http.Header) // what the platform's front end adds; may be nil
	fresh bool              // a connection for each request
}

// plainTransport adds nothing to a request of its own accord.
var plainTransport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4}

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	base, err := url.Parse(d.base)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = base.Scheme, base.Host, base.Host
	r.Close = d.fresh
	if d.front != nil {
		d.front(r.Header)
	}
	return plainTransport.RoundTrip(r)
}

// trigger is the way to a function on Lambda through one of its front ends: it makes the event that
// this front end makes of a request, and a response of what the function says.
type trigger struct {
	event  func(r *http.Request, body string, encoded bool) any
	invoke func(ctx context.Context, event []byte) ([]byte, error)
}

func (t trigger) RoundTrip(r *http.Request) (*http.Response, error) {
	var raw []byte
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	r = r.Clone(r.Context())
	if len(raw) > 0 {
		r.Header.Set("Content-Length", fmt.Sprint(len(raw)))
	}
	body, encoded := string(raw), !isText(r.Header.Get("Content-Type")) || !utf8.Valid(raw)
	if encoded = encoded && len(raw) > 0; encoded {
		body = base64.StdEncoding.EncodeToString(raw)
	}
	event, err := json.Marshal(t.event(r, body, encoded))
	if err != nil {
		return nil, err
	}
	out, err := t.invoke(r.Context(), event)
	if err != nil {
		return nil, err
	}
	return readResponse(r, out)
}

func isText(media string) bool {
	return strings.HasPrefix(media, "text/") || strings.HasPrefix(media, "application/json")
}

func readResponse(r *http.Request, out []byte) (*http.Response, error) {
	var said struct {
		StatusCode        int
		Headers           map[string]string
		MultiValueHeaders map[string][]string
		Cookies           []string
		Body              string
		IsBase64Encoded   bool
		ErrorMessage      string
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return nil, err
	}
	if said.StatusCode == 0 {
		return nil, errors.New("the invocation failed: " + cmp.Or(said.ErrorMessage, string(out)))
	}
	resp := &http.Response{
		StatusCode: said.StatusCode, Status: fmt.Sprint(said.StatusCode, " ", http.StatusText(said.StatusCode)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header), Request: r,
	}
	for name, values := range said.MultiValueHeaders {
		for _, value := range values {
			resp.Header.Add(name, value)
		}
	}
	for name, value := range said.Headers {
		if resp.Header.Get(name) == "" {
			resp.Header.Set(name, value)
		}
	}
	for _, cookie := range said.Cookies {
		resp.Header.Add("Set-Cookie", cookie)
	}
	body := []byte(said.Body)
	if said.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(said.Body); err != nil {
			return nil, err
		}
	}
	if r.Method == http.MethodHead { // a front end sends no body then, whatever it has
		body = nil
	}
	resp.ContentLength = int64(len(body))
	resp.Header.Del("Content-Length") // a front end writes its own
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// Where requests come from, by the platform's word: an address of each front end's own, as they share
// a function and its limits.
const (
	addrREST = "198.51.100.1"
	addrHTTP = "198.51.100.2"
	addrURL  = "198.51.100.3"
	addrALB  = "198.51.100.4"
	addrALB2 = "198.51.100.5"
)

func lower(h http.Header, join string) map[string]string {
	joined := make(map[string]string, len(h))
	for name, values := range h {
		joined[strings.ToLower(name)] = strings.Join(values, join)
	}
	return joined
}

func last(h map[string][]string) map[string]string {
	single := make(map[string]string, len(h))
	for name, values := range h {
		single[name] = values[len(values)-1]
	}
	return single
}

// eventV2 is payload format 2.0: an HTTP API, or a Function URL.
func eventV2(addr, domain string) func(*http.Request, string, bool) any {
	return func(r *http.Request, body string, encoded bool) any {
		h := lower(r.Header, ",")
		delete(h, "cookie")
		h["x-forwarded-for"] = strings.TrimPrefix(h["x-forwarded-for"]+","+addr, ",")
		h["host"] = domain
		event := map[string]any{
			"version": "2.0", "routeKey": "$default", "rawPath": r.URL.EscapedPath(), "rawQueryString": r.URL.RawQuery, "headers": h,
			"isBase64Encoded": encoded,
			"requestContext": map[string]any{
				"accountId": account, "apiId": "verify", "domainName": domain, "domainPrefix": "verify", "requestId": rand.Text(),
				"routeKey": "$default", "stage": "$default", "time": time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), "timeEpoch": time.Now().UnixMilli(),
				"http": map[string]any{"method": r.Method, "path": r.URL.EscapedPath(), "protocol": "HTTP/1.1", "sourceIp": addr, "userAgent": "verify"},
			},
		}
		if cookies := r.Header["Cookie"]; len(cookies) > 0 {
			event["cookies"] = strings.Split(strings.Join(cookies, "; "), "; ")
		}
		if body != "" {
			event["body"] = body
		}
		return event
	}
}

// eventV1 is payload format 1.0: a REST API behind a domain of its owner's.
func eventV1(r *http.Request, body string, encoded bool) any {
	h := maps.Clone(map[string][]string(r.Header))
	h["X-Forwarded-For"] = []string{strings.TrimPrefix(strings.Join(h["X-Forwarded-For"], ", ")+", "+addrREST, ", ")}
	query := map[string][]string(r.URL.Query())
	event := map[string]any{
		"resource": "/{proxy+}", "path": r.URL.EscapedPath(), "httpMethod": r.Method,
		"headers": last(h), "multiValueHeaders": h,
		"queryStringParameters": last(query), "multiValueQueryStringParameters": query,
		"pathParameters": map[string]string{"proxy": strings.TrimPrefix(r.URL.Path, "/")}, "stageVariables": nil,
		"body": nil, "isBase64Encoded": encoded,
		"requestContext": map[string]any{
			"accountId": account, "apiId": "verify", "resourceId": "proxy", "resourcePath": "/{proxy+}", "httpMethod": r.Method, "stage": "prod",
			"path": r.URL.EscapedPath(), "protocol": "HTTP/1.1", "requestId": rand.Text(), "domainName": "verify.example",
			"requestTimeEpoch": time.Now().UnixMilli(), "identity": map[string]any{"sourceIp": addrREST, "userAgent": "verify"},
		},
	}
	if body != "" {
		event["body"] = body
	}
	return event
}

// eventALB is a load balancer's; whether headers and queries have many values is a setting of its
// target group.
func eventALB(addr string, multi bool) func(*http.Request, string, bool) any {
	return func(r *http.Request, body string, encoded bool) any {
		h := make(map[string][]string, len(r.Header))
		for name, values := range r.Header {
			h[strings.ToLower(name)] = values
		}
		h["x-forwarded-for"] = []string{strings.TrimPrefix(strings.Join(h["x-forwarded-for"], ", ")+", "+addr, ", ")}
		h["host"] = []string{"verify.example"}
		query := make(map[string][]string) // escaped, as the client sent it
		for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
			if name, value, _ := strings.Cut(part, "="); name != "" {
				query[name] = append(query[name], value)
			}
		}
		event := map[string]any{
			"requestContext": map[string]any{"elb": map[string]any{"targetGroupArn": "arn:aws:elasticloadbalancing:" + region + ":" + account + ":targetgroup/verify/1"}},
			"httpMethod":     r.Method, "path": r.URL.EscapedPath(), "body": body, "isBase64Encoded": encoded,
		}
		if multi {
			event["multiValueHeaders"], event["multiValueQueryStringParameters"] = h, query
		} else {
			event["headers"], event["queryStringParameters"] = last(h), last(query)
		}
		return event
	}
}

// sorted are a map's keys in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
