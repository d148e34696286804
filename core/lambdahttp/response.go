package lambdahttp

import (
	"bytes"
	"encoding/base64"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// response is an encoded answer. Each trigger reads some of its members.
type response struct {
	StatusCode        int                 `json:"statusCode"`
	StatusDescription string              `json:"statusDescription,omitempty"` // ALB
	Headers           map[string]string   `json:"headers,omitempty"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitempty"`
	Cookies           []string            `json:"cookies,omitempty"` // payload format 2.0
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// newResponse returns the answer without headers. A body that is not UTF-8 is encoded as base64, which a REST API decodes
// only for media types that its owner has listed.
func newResponse(out *recorder) response {
	r := response{StatusCode: out.status}
	if b := out.body.Bytes(); utf8.Valid(b) {
		r.Body = string(b)
	} else {
		r.Body, r.IsBase64Encoded = base64.StdEncoding.EncodeToString(b), true
	}
	return r
}

func encodeV1(out *recorder) response {
	r := newResponse(out)
	r.MultiValueHeaders = out.sent
	return r
}

func encodeV2(out *recorder) response {
	r := newResponse(out)
	r.Cookies = out.sent["Set-Cookie"]
	delete(out.sent, "Set-Cookie")
	r.Headers = joined(out.sent)
	return r
}

func encodeALBMulti(out *recorder) response {
	r := encodeV1(out)
	r.StatusDescription = strconv.Itoa(out.status) + " " + http.StatusText(out.status)
	return r
}

// encodeALB is for a target group without multi-value headers. There, several cookies need different spellings of the
// header's name.
func encodeALB(out *recorder) response {
	cookies := out.sent["Set-Cookie"]
	delete(out.sent, "Set-Cookie")
	r := encodeALBMulti(out)
	r.Headers, r.MultiValueHeaders = joined(out.sent), nil
	for i, cookie := range cookies {
		r.Headers[spelling("set-cookie", i)] = cookie
	}
	return r
}

// encodeNetlify puts only headers with several values into multiValueHeaders, because Netlify merges both maps.
func encodeNetlify(out *recorder) response {
	r := newResponse(out)
	r.MultiValueHeaders = make(map[string][]string)
	for name, values := range out.sent {
		if len(values) > 1 {
			r.MultiValueHeaders[name] = values
			delete(out.sent, name)
		}
	}
	r.Headers = joined(out.sent)
	return r
}

// encodeUnknown is for an event of an unknown trigger. It sets the members of every trigger; no header has several values
// then.
func encodeUnknown(out *recorder) response {
	r := encodeALBMulti(out)
	r.Headers = joined(out.sent)
	return r
}

func joined(h http.Header) map[string]string {
	single := make(map[string]string, len(h))
	for name, values := range h {
		single[name] = strings.Join(values, ", ")
	}
	return single
}

// spelling returns the i-th combination of lower and upper case of a name; set-cookie has 512.
func spelling(name string, i int) string {
	b := []byte(name)
	for j, c := range b {
		if 'a' <= c && c <= 'z' {
			if i&1 == 1 {
				b[j] = c - 'a' + 'A'
			}
			i >>= 1
		}
	}
	return string(b)
}

// recorder is an http.ResponseWriter that records the answer by the rules of net/http: the first WriteHeader fixes the
// status and headers, no WriteHeader means 200, and the body is dropped if the status allows none.
type recorder struct {
	header http.Header // may still be changed by the handler
	sent   http.Header // nil until WriteHeader
	status int
	noBody bool
	body   bytes.Buffer
}

// record returns h's answer to r.
func record(h http.Handler, r *http.Request) *recorder {
	out := newRecorder(r.Method)
	h.ServeHTTP(out, r)
	out.finish()
	return out
}

func newRecorder(method string) *recorder {
	return &recorder{header: make(http.Header), noBody: method == http.MethodHead}
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("lambdahttp: invalid status code")
	}
	if w.sent != nil || status < 200 { // a provisional answer cannot be sent
		return
	}
	w.status = status
	w.sent = maps.Clone(w.header)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.sent == nil {
		w.WriteHeader(http.StatusOK)
	}
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	if w.noBody {
		return len(b), nil
	}
	return w.body.Write(b)
}

// finish completes an answer, even if the handler wrote nothing. A body without a Content-Type gets net/http's guess;
// otherwise an API would call it JSON.
func (w *recorder) finish() {
	if w.sent == nil {
		w.WriteHeader(http.StatusOK)
	}
	if _, ok := w.sent["Content-Type"]; !ok && w.body.Len() > 0 {
		w.sent.Set("Content-Type", http.DetectContentType(w.body.Bytes()))
	}
	maps.DeleteFunc(w.sent, func(name string, values []string) bool {
		return len(values) == 0 || name == "Content-Length"
	})
}
