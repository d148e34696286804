//go:build js && wasm

package workers

import (
	"io"
	"net/http"
	"strconv"
	"syscall/js"
)

// Transport sends requests with the runtime's fetch, which manages connections and TLS. It does not follow redirects. Its
// errors are [*net.OpError]. It is safe for concurrent use.
var Transport http.RoundTripper = transport{}

type transport struct{}

func (transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var content any // nil for no body
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		_ = r.Body.Close() // it has been read
		if err != nil {
			return nil, err
		}
		if len(data) > 0 {
			content = toJS(data)
		}
	}
	id, result, err := do(r.Context(), "fetch", map[string]any{
		"url": r.URL.String(), "method": r.Method, "headers": joinHeader(r.Header), "body": content,
	})
	if err != nil {
		return nil, err
	}
	status := result.Get("status").Int()
	resp := &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: splitHeader(result.Get("headers").String()), ContentLength: -1, Request: r,
	}
	// fetch decompresses the body, but leaves the headers unchanged.
	if resp.Header.Get("Content-Encoding") != "" {
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.Uncompressed = true
	}
	answer := &body{
		next: func() (js.Value, error) {
			_, piece, err := do(r.Context(), "read", map[string]any{"of": id})
			return piece, err
		},
		stop: func() { stop(id) },
	}
	answer.take(result)
	resp.Body = answer
	return resp, nil
}
