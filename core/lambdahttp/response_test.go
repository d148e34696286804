package lambdahttp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestResponse(t *testing.T) {
	tests := []struct {
		name   string
		method string
		h      http.HandlerFunc
		status int
		header http.Header
		body   string
	}{
		{"text", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"ü":"<&>"}`)
		}, 201, http.Header{"Content-Type": {"application/json"}}, `{"ü":"<&>"}`},
		{"bytes that are not text", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write([]byte("\x89PNG\xff"))
		}, 200, http.Header{"Content-Type": {"image/png"}}, "\x89PNG\xff"},
		{"a silent handler", "GET", func(http.ResponseWriter, *http.Request) {}, 200, http.Header{}, ""},
		{"a silent handler's headers", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "1") }, 200, http.Header{"X-A": {"1"}}, ""},
		{"several writes", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a")
			_, _ = io.WriteString(w, "b")
		}, 200, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, "ab"},
		{"the first status counts", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
		}, 418, http.Header{}, ""},
		{"a provisional status does not count", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
		}, 202, http.Header{}, ""},
		{"headers set too late", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "1")
			w.WriteHeader(http.StatusAccepted)
			w.Header().Set("X-A", "2")
			w.Header().Set("X-B", "2")
		}, 202, http.Header{"X-A": {"1"}}, ""},
		{"a header taken back, and one without a value", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "1")
			w.Header().Del("X-A")
			w.Header()["Content-Type"] = nil // net/http: do not guess
			_, _ = io.WriteString(w, "a")
		}, 200, http.Header{}, "a"},
		{"HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "2")
			n, err := io.WriteString(w, "{}")
			w.Header().Set("X-Late", fmt.Sprint(n, err))
		}, 200, http.Header{"Content-Type": {"application/json"}}, ""},
		{"204 has no body", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := io.WriteString(w, "a"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic("a body was allowed")
			}
		}, 204, http.Header{}, ""},
		{"the length is the platform's to say", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "1")
			_, _ = io.WriteString(w, "a")
		}, 200, http.Header{"Content-Type": {"text/plain"}}, "a"},
		{"cookies", "GET", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 3 {
				http.SetCookie(w, &http.Cookie{Name: fmt.Sprint("c", i), Value: "v"})
			}
			w.WriteHeader(http.StatusFound)
		}, 302, http.Header{"Set-Cookie": {"c0=v", "c1=v", "c2=v"}}, ""},
		{"several values", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Vary", "Origin")
			w.Header().Add("Vary", "Accept")
		}, 200, http.Header{"Vary": {"Origin, Accept"}}, ""},
	}
	for _, tt := range tests {
		for _, kind := range kinds {
			patch := fmt.Sprintf(`{"httpMethod":%q}`, tt.method)
			if kind == "httpapi" || kind == "functionurl" {
				patch = fmt.Sprintf(`{"requestContext":{"http":{"method":%q}}}`, tt.method)
			}
			got := answerTo(t, kind, tt.h, read(t, kind, patch))
			for name, values := range got.header { // a list may come as one line or as several
				if name == "Set-Cookie" {
					slices.Sort(values)
				} else {
					got.header[name] = []string{strings.Join(values, ", ")}
				}
			}
			if want := (answer{tt.status, tt.header, tt.body}); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: got %+v, want %+v", tt.name, kind, got, want)
			}
		}
	}
}

// common are the headers of every answer (contract, section 3), including errors and panics.
var common = map[string]string{
	"Cache-Control": "no-store", "Cdn-Cache-Control": "no-store", "Pragma": "no-cache",
	"X-Content-Type-Options": "nosniff", "Vary": "Origin", "Content-Type": "application/problem+json",
}

func checkProblem(t *testing.T, name string, got answer, status int, code string) {
	t.Helper()
	var problem struct {
		Type, Title, Detail, Error, Code, RequestID string
		Status                                      int
		Retryable                                   bool
	}
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil {
		t.Errorf("%s: the body is not JSON: %v: %s", name, err, got.body)
	}
	if got.status != status || problem.Status != status || problem.Code != code {
		t.Errorf("%s: got %d %s, want %d %s", name, got.status, got.body, status, code)
	}
	for header, value := range common {
		if v := got.header.Values(header); !slices.Equal(v, []string{value}) {
			t.Errorf("%s: %s is %q, want %q", name, header, v, value)
		}
	}
	if id := got.header.Get("X-Request-Id"); id == "" || id != problem.RequestID {
		t.Errorf("%s: X-Request-Id is %q, the body's requestId %q", name, id, problem.RequestID)
	}
}

func TestPanic(t *testing.T) {
	secret := strings.Repeat("s3cr3t", 3)
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	defer slog.SetDefault(old)

	for name, h := range map[string]http.HandlerFunc{
		"before an answer": func(http.ResponseWriter, *http.Request) { panic(secret) },
		"amid an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Dropped", secret)
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, secret)
			panic(errors.New(secret))
		},
		"an invalid status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(7) },
		"aborted":           func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		for _, kind := range kinds {
			log.Reset()
			got := answerTo(t, kind, h, read(t, kind, ""))
			checkProblem(t, "fault 47: "+name+", "+kind, got, 500, "internal")
			if all := log.String() + fmt.Sprint(got); strings.Contains(all, secret) {
				t.Errorf("fault 17: %s, %s: what the panic said is in %s", name, kind, all)
			}
			if !strings.Contains(log.String(), "response_test.go") {
				t.Errorf("%s, %s: the log does not say where: %s", name, kind, log.String())
			}
		}
	}
}

func TestNoHTTP(t *testing.T) {
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	tests := map[string]string{
		"SQS":                          `{"Records":[{"messageId":"1","body":"{}","eventSource":"aws:sqs"}]}`,
		"an empty object":              `{}`,
		"null":                         `null`,
		"nothing":                      ``,
		"garbage":                      `{"httpMethod":`,
		"a list":                       `[]`,
		"headers of another type":      `{"httpMethod":"GET","path":"/","headers":7}`,
		"a schedule":                   `{"version":"0","id":"1","detail-type":"Scheduled Event","source":"aws.events","detail":{}}`,
		"a WebSocket API":              `{"requestContext":{"routeKey":"$connect","eventType":"CONNECT","connectionId":"c=","stage":"prod","requestId":"r="},"isBase64Encoded":false}`,
		"an authorizer (REST API)":     `{"type":"REQUEST","methodArn":"arn:x","path":"/a","httpMethod":"GET","headers":{},"requestContext":{"requestId":"r","path":"/a"}}`,
		"an authorizer (HTTP API)":     `{"version":"2.0","type":"REQUEST","routeArn":"arn:x","rawPath":"/a","requestContext":{"http":{"method":"GET","path":"/a"}}}`,
		"an agent of Bedrock":          `{"messageVersion":"1.0","actionGroup":"g","apiPath":"/healthz","httpMethod":"GET","agent":{"name":"a"},"sessionId":"s"}`,
		"a request without a path":     `{"httpMethod":"GET","path":"","headers":{},"requestContext":{"elb":{}}}`,
		"an authorizer (token)":        `{"type":"TOKEN","authorizationToken":"t","methodArn":"arn:x"}`,
		"nested too deep for a parser": strings.Repeat("[", 20000),
	}
	old := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(old)
	for name, event := range tests {
		for _, kind := range []string{"restapi", "netlify"} {
			b, err := adapt(kind, h).Invoke(t.Context(), []byte(event))
			if err != nil {
				t.Errorf("%s: an invocation error: %v", name, err)
			}
			// Any trigger finds the answer in its own form.
			var r struct {
				StatusCode        int
				StatusDescription string
				Headers           map[string]string
				MultiValueHeaders map[string][]string
				Body              string
				IsBase64Encoded   bool
			}
			if err := json.Unmarshal(b, &r); err != nil || r.IsBase64Encoded || r.StatusDescription != "400 Bad Request" {
				t.Errorf("%s: got %s, %v", name, b, err)
			}
			single := make(http.Header)
			for name, value := range r.Headers {
				single.Set(name, value)
			}
			checkProblem(t, name+", headers", answer{r.StatusCode, single, r.Body}, 400, "bad_request")
			checkProblem(t, name+", multiValueHeaders", answer{r.StatusCode, r.MultiValueHeaders, r.Body}, 400, "bad_request")
		}
	}
}

// Members that a trigger's adapter does not read may have any type.
func TestMembersOfAnotherType(t *testing.T) {
	tests := []struct {
		kind, patch string
		served      bool
	}{
		{"httpapi", `{"queryStringParameters":["a","b"]}`, true},
		{"functionurl", `{"queryStringParameters":["a","b"],"multiValueHeaders":"none","httpMethod":7,"path":[]}`, true},
		{"httpapi", `{"requestContext":{"identity":"none","path":7,"elb":"x"}}`, true},
		{"alb", `{"requestContext":{"stage":7,"path":[],"identity":"none","http":[],"requestId":{}}}`, true},
		{"restapi", `{"rawPath":7,"rawQueryString":[],"cookies":"a=b","rawUrl":{},"rawQuery":7,"requestContext":{"http":"none"}}`, true},
		{"netlify", `{"requestContext":"none","queryStringParameters":[],"multiValueQueryStringParameters":7}`, true},
		{"httpapi", `{"type":7}`, true},
		{"httpapi", `{"rawPath":7}`, false},
		{"httpapi", `{"rawQueryString":["a"]}`, false},
		{"httpapi", `{"cookies":"a=b"}`, false},
		{"httpapi", `{"requestContext":{"http":7}}`, false},
		{"httpapi", `{"requestContext":{"http":{"sourceIp":7}}}`, false},
		{"httpapi", `{"requestContext":{"requestId":7}}`, false},
		{"restapi", `{"queryStringParameters":["a","b"]}`, false},
		{"restapi", `{"multiValueHeaders":["a"]}`, false},
		{"restapi", `{"requestContext":"none"}`, false},
		{"restapi", `{"requestContext":"none","headers":{"X-A":"1","x-a":"2"}}`, false}, // two faults
		{"restapi", `{"requestContext":{"identity":"none"}}`, false},
		{"alb", `{"queryStringParameters":["a"]}`, false},
		{"netlify", `{"rawQuery":7}`, false},
		{"netlify", `{"path":7}`, false},
		{"netlify", `{"body":{}}`, false},
	}
	old := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(old)
	for _, tt := range tests {
		served := false
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { served = true; w.WriteHeader(http.StatusNoContent) })
		b, err := adapt(tt.kind, h).Invoke(t.Context(), read(t, tt.kind, tt.patch))
		want := `"statusCode":400,"statusDescription":"400 Bad Request","headers"` // for whichever trigger it is
		if tt.served {
			want = `"statusCode":204`
		}
		if err != nil || served != tt.served || !strings.Contains(string(b), want) {
			t.Errorf("%s with %s: served %t, %s, %v", tt.kind, tt.patch, served, b, err)
		}
	}
}

// fault 75: an event's headers have no order, so neither of two spellings is the first.
func TestOneHeaderInTwoSpellings(t *testing.T) {
	tests := []struct {
		kind, patch string
		refused     bool
	}{
		{"httpapi", `{"headers":{"authorization":"Bearer a","Authorization":"Bearer b"}}`, true},
		{"alb", `{"headers":{"origin":"https://a.example","ORIGIN":"https://b.example"}}`, true},
		{"alb-multi", `{"multiValueHeaders":{"origin":["https://a.example"],"Origin":["https://b.example"]}}`, true},
		{"alb-multi", `{"multiValueHeaders":{"x-a":["1","2"],"X-A":["1"]}}`, true},
		{"restapi", `{"headers":{"x-a":"1"},"multiValueHeaders":{"X-A":["2"]}}`, true},
		{"netlify", `{"multiValueHeaders":{"x-a":["1"],"X-A":["2"]}}`, true},
		{"httpapi", `{"headers":{"x-a":"1","X-A":"1"}}`, false},
		{"restapi", `{"headers":{"x-a":"2"},"multiValueHeaders":{"X-A":["1","2"]}}`, false},
		{"alb-multi", `{"multiValueHeaders":{"x-a":["1","2"],"X-A":["1","2"]}}`, false},
		{"netlify", `{"multiValueHeaders":{"x-a":["1"],"X-A":[null]}}`, false},
	}
	old := slog.Default()
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	defer slog.SetDefault(old)
	for _, tt := range tests {
		for range 10 { // maps have no order
			log.Reset()
			served := false
			got := answerTo(t, tt.kind, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }), read(t, tt.kind, tt.patch))
			if served == tt.refused || (got.status == 400) != tt.refused {
				t.Fatalf("%s with %s: served %t, status %d", tt.kind, tt.patch, served, got.status)
			}
			if tt.refused && !strings.Contains(log.String(), "two spellings") {
				t.Errorf("the log does not say why: %s", log.String())
			}
		}
	}
}
