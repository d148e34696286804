package lambdahttp_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// FuzzInvoke: any event gets an HTTP answer without an invocation error, and the handler's request is well-formed.
func FuzzInvoke(f *testing.F) {
	for _, kind := range kinds {
		f.Add(read(f, kind, ""))
	}
	for _, event := range []string{
		`null`, `{}`, `{"httpMethod":"GET","path":"%"}`, `{"httpMethod":"\u0000","requestContext":{"elb":{}}}`,
		`{"version":"2.0","rawPath":"?#%2","requestContext":{"stage":"?","http":{"method":" ","sourceIp":"::1%eth0"}},"body":"=","isBase64Encoded":true}`,
		`{"httpMethod":"GET","path":"//","requestContext":{"path":"////","stage":"/"},"multiValueHeaders":{"":[null,""],"host":["a","b"]}}`,
	} {
		f.Add([]byte(event))
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, event []byte) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL == nil || r.Header == nil || r.Body == nil || r.URL.Path == "" || r.ContentLength < 0 {
				t.Errorf("not a request: %+v", r)
			}
			if r.RemoteAddr != "" && !strings.HasSuffix(r.RemoteAddr, ":0") {
				t.Errorf("RemoteAddr %q", r.RemoteAddr)
			}
			maps.Copy(w.Header(), r.Header)
			w.Header()["Set-Cookie"] = []string{"a=b", "c=d"}
			_, _ = io.Copy(w, io.LimitReader(r.Body, 1<<10)) // broken base64 ends it early
			_, _ = io.WriteString(w, r.RequestURI+r.URL.String())
		})
		for _, kind := range []string{"restapi", "netlify"} {
			b, err := adapt(kind, h).Invoke(t.Context(), event)
			if err != nil {
				t.Fatalf("an invocation error: %v", err)
			}
			var r struct {
				StatusCode      int
				Body            *string
				IsBase64Encoded *bool
			}
			if err := json.Unmarshal(b, &r); err != nil || r.StatusCode < 200 || r.Body == nil || r.IsBase64Encoded == nil {
				t.Fatalf("no HTTP answer: %s", b)
			}
		}
	})
}
