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
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/orga-session/orga-session/tools/lambdaevent"
)

// overHTTP is the transport to an endpoint that speaks HTTP.
type overHTTP struct {
	base          string
	addHeaders    func(http.Header) // adds the headers of the platform's front end; may be nil
	newConnection bool              // a new connection for each request
}

// plainTransport adds no headers to a request.
var plainTransport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4}

func (t overHTTP) RoundTrip(r *http.Request) (*http.Response, error) {
	base, err := url.Parse(t.base)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = base.Scheme, base.Host, base.Host
	r.Close = t.newConnection
	if t.addHeaders != nil {
		t.addHeaders(r.Header)
	}
	return plainTransport.RoundTrip(r)
}

// overLambda is the transport to a Lambda function through one of its front ends: it converts requests to events and
// the function's results to responses.
type overLambda struct {
	event  func(lambdaevent.Request) lambdaevent.Event
	addr   string // the client's address
	host   string
	invoke func(ctx context.Context, event []byte) ([]byte, error)
}

func (t overLambda) RoundTrip(r *http.Request) (*http.Response, error) {
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
	event, err := json.Marshal(t.event(lambdaevent.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header, Body: body, IsBase64Encoded: encoded,
		Addr: t.addr, Host: t.host, ID: rand.Text(),
	}))
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
	if r.Method == http.MethodHead { // a front end drops the body of a HEAD response
		body = nil
	}
	resp.ContentLength = int64(len(body))
	resp.Header.Del("Content-Length") // a front end sets its own
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// Client addresses of the front ends. They differ because the front ends share a function and its limits.
const (
	addrREST = "198.51.100.1"
	addrHTTP = "198.51.100.2"
	addrURL  = "198.51.100.3"
	addrALB  = "198.51.100.4"
	addrALB2 = "198.51.100.5"
)
