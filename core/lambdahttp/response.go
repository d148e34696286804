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

// response is an answer on the wire. Each trigger reads its own part of it.
type response struct {
	StatusCode        int                 `json:"statusCode"`
	StatusDescription string              `json:"statusDescription,omitempty"` // ALB
	Headers           map[string]string   `json:"headers,omitempty"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitempty"`
	Cookies           []string            `json:"cookies,omitempty"` // payload format 2.0
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// newResponse is the answer without its headers. A body that is not UTF-8 is sent as base64: a REST API
// passes base64 on undecoded unless its owner listed the media type.
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

// encodeALB is for a target group without multi-value headers. There, several cookies can only be set
// under several spellings of the name.
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

// encodeNetlify puts into multiValueHeaders what has several values, and only that: Netlify merges the
// two.
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

// encodeUnknown is for an event whose trigger is not known, so that whichever it is finds what it
// reads. None of the headers has several values then.
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

// spelling is the i-th way to write a name in lower and upper case; there are 512 for set-cookie.
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

// recorder is a http.ResponseWriter that keeps the answer, by the rules of net/http's own: the first
// WriteHeader counts, headers are fixed by it, a silent handler means 200, and where no body is
// allowed none is kept.
type recorder struct {
	header http.Header // the handler's to change
	sent   http.Header // nil until WriteHeader
	status int
	noBody bool
	body   bytes.Buffer
}

// record returns what h answers to r.
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
	if w.sent != nil || status < 200 { // a provisional answer has nowhere to go
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

// finish ends an answer, of a handler that may have written none. A body without a Content-Type gets
// the one that net/http would find: an API calls it JSON otherwise.
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
