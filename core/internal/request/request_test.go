package request_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/platform"
)

// serve sends one request through Handler, and returns the answer and the log.
func serve(next http.HandlerFunc, r *http.Request) (rec *httptest.ResponseRecorder, log string) {
	var out bytes.Buffer
	rec = httptest.NewRecorder()
	request.Handler(next, slog.New(slog.NewJSONHandler(&out, nil))).ServeHTTP(rec, r)
	return rec, out.String()
}

func get(header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func fail(err error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { request.Fail(w, r, err) }
}

// The exact body of a refusal for every code of the contract.
func TestProblems(t *testing.T) {
	for _, row := range []struct {
		problem           problem.Problem
		status            int
		title, detail     string
		retryable         bool
		retryAfter, extra string
	}{
		{problem.Problem{Code: problem.Unauthenticated}, 401, "Unauthorized", "A valid credential is required.", false, "", ""},
		{problem.Problem{Code: problem.Forbidden}, 403, "Forbidden", "This request is not allowed.", false, "", ""},
		{problem.Problem{Code: problem.NotFound}, 404, "Not Found", "There is nothing here.", false, "", ""},
		{problem.Problem{Code: problem.MethodNotAllowed, Header: http.Header{"Allow": {"GET"}}}, 405, "Method Not Allowed", "This method is not allowed here; see Allow.", false, "", "GET"},
		{problem.Problem{Code: problem.BadRequest}, 400, "Bad Request", "The request is malformed.", false, "", ""},
		{problem.Problem{Code: problem.TooLarge}, 413, "Request Entity Too Large", "The request body is larger than 16 KiB.", false, "", ""},
		{problem.Problem{Code: problem.HeadersTooLarge}, 431, "Request Header Fields Too Large", "The request headers are too large.", false, "", ""},
		{problem.Problem{Code: problem.UnsupportedMediaType}, 415, "Unsupported Media Type", "A request body must be application/json.", false, "", ""},
		{problem.Problem{Code: problem.RateLimited, RetryAfter: 6001 * time.Millisecond}, 429, "Too Many Requests", "Retry in 7 seconds.", true, "7", ""},
		{problem.Problem{Code: problem.RateLimited, RetryAfter: time.Millisecond}, 429, "Too Many Requests", "Retry in 1 second.", true, "1", ""},
		{problem.Problem{Code: problem.Misconfigured}, 500, "Internal Server Error", "The endpoint is not set up correctly; its log names the settings.", false, "", ""},
		{problem.Problem{Code: problem.Misconfigured, HTTPStatus: 503}, 503, "Service Unavailable", "The endpoint is not set up correctly; its log names the settings.", false, "", ""},
		{problem.Problem{Code: problem.Internal}, 500, "Internal Server Error", "Something went wrong here.", false, "", ""},
		{problem.Problem{Code: problem.UpstreamAuthFailed}, 502, "Bad Gateway", "The Orga API does not accept this endpoint's key.", false, "", ""},
		{problem.Problem{Code: problem.UpstreamError}, 502, "Bad Gateway", "The Orga API did not give a usable answer.", true, "", ""},
		{problem.Problem{Code: problem.UpstreamRateLimited, RetryAfter: 2 * time.Minute}, 503, "Service Unavailable", "Retry in 120 seconds.", true, "120", ""},
		{problem.Problem{Code: problem.SecretUnavailable, RetryAfter: time.Second}, 503, "Service Unavailable", "Retry in 1 second.", true, "1", ""},
		{problem.Problem{Code: problem.LimiterUnavailable}, 503, "Service Unavailable", "Requests cannot be counted right now.", true, "", ""},
		{problem.Problem{Code: problem.AuthUnavailable, RetryAfter: time.Second}, 503, "Service Unavailable", "Retry in 1 second.", true, "1", ""},
		{problem.Problem{Code: problem.Timeout}, 504, "Gateway Timeout", "The request ran out of time.", true, "", ""},
	} {
		t.Run(fmt.Sprint(row.status, " ", row.problem.Code), func(t *testing.T) {
			row.problem.Cause = errors.New("a private cause")
			rec, log := serve(fail(fmt.Errorf("wrapped: %w", &row.problem)), get("X-Request-Id", "id-1"))
			want := fmt.Sprintf(`{"type":"about:blank#%s","title":%q,"status":%d,"detail":%q,"error":%q,"code":%q,"retryable":%v,"requestId":"id-1"}`+"\n",
				row.problem.Code, row.title, row.status, row.detail, row.detail, row.problem.Code, row.retryable)
			if rec.Body.String() != want {
				t.Errorf("\n got %swant %s", rec.Body, want)
			}
			h := rec.Header()
			if rec.Code != row.status || h.Get("Content-Type") != "application/problem+json" || h.Get("Content-Length") != fmt.Sprint(len(want)) ||
				h.Get("Retry-After") != row.retryAfter || h.Get("Allow") != row.extra {
				t.Errorf("%d %v", rec.Code, h)
			}
			if !strings.Contains(log, `"cause":"a private cause"`) || !strings.Contains(log, `"error.type":"`+string(row.problem.Code)+`"`) {
				t.Errorf("log: %s", log)
			}
		})
	}
	t.Run("an error that is not a problem is internal", func(t *testing.T) {
		rec, log := serve(fail(errors.New("a private cause")), get())
		if rec.Code != 500 || !strings.Contains(rec.Body.String(), `"code":"internal"`) || strings.Contains(rec.Body.String(), "private") ||
			!strings.Contains(log, "a private cause") {
			t.Errorf("%d %s %s", rec.Code, rec.Body, log)
		}
	})
}

// Headers that every answer has.
func TestHeaders(t *testing.T) {
	want := map[string]string{
		"Cache-Control": "no-store", "CDN-Cache-Control": "no-store", "Pragma": "no-cache",
		"X-Content-Type-Options": "nosniff", "X-Request-Id": "id-1", "Vary": "Origin",
	}
	for name, next := range map[string]http.HandlerFunc{
		"answer":  func(w http.ResponseWriter, _ *http.Request) { request.WriteJSON(w, 200, "application/json", 1) },
		"bare":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"silence": func(http.ResponseWriter, *http.Request) {},
		"refusal": fail(problem.New(problem.NotFound, nil)),
		"panic":   func(http.ResponseWriter, *http.Request) { panic("oh") },
		"panic of an answer that cannot be encoded": func(w http.ResponseWriter, _ *http.Request) {
			request.WriteJSON(w, 200, "application/json", func() {})
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec, _ := serve(next, get("X-Request-Id", "id-1"))
			for header, value := range want {
				if got := rec.Header().Values(header); len(got) != 1 || got[0] != value {
					t.Errorf("%s: %q", header, got)
				}
			}
		})
	}
}

// recovered returns the text of f's runtime panic, which differs between versions of Go.
func recovered(f func(http.ResponseWriter)) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f(nil)
	return ""
}

// fault 47: a panic is a 500 with constant text, and the next request is served.
func TestPanic(t *testing.T) {
	const canary = "sk_orga_ai_test_canary_of_a_panic"
	var sick bool
	next := func(w http.ResponseWriter, _ *http.Request) {
		if sick {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "")
		}
		request.WriteJSON(w, 200, "application/json", "well")
	}
	outOfRange := func(http.ResponseWriter) { _ = []int{}[len(canary)-33] }
	noArgument := func(http.ResponseWriter) { panic(nil) }
	for name, row := range map[string]struct {
		panics func(w http.ResponseWriter)
		logged string
	}{
		"a text":          {func(http.ResponseWriter) { panic(canary) }, `"exception.type":"string"`},
		"an error":        {func(http.ResponseWriter) { panic(errors.New(canary)) }, `"exception.type":"*errors.errorString"`},
		"a struct":        {func(http.ResponseWriter) { panic(struct{ key string }{canary}) }, `"exception.type":"struct { key string }"`},
		"the runtime's":   {outOfRange, fmt.Sprintf(`"exception.message":%q`, recovered(outOfRange))},
		"nothing":         {noArgument, fmt.Sprintf(`"exception.message":%q`, recovered(noArgument))},
		"an abort":        {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, `"exception.type":"*errors.errorString"`},
		"after a header":  {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "7"); panic(canary) }, `"exception.type":"string"`},
		"with its string": {func(http.ResponseWriter) { panic([]byte(canary)) }, `"exception.type":"[]uint8"`},
	} {
		t.Run(name, func(t *testing.T) {
			rec, log := serve(func(w http.ResponseWriter, r *http.Request) {
				row.panics(w)
				next(w, r)
			}, get("X-Request-Id", "id-1"))
			const want = `{"type":"about:blank#internal","title":"Internal Server Error","status":500,"detail":"Something went wrong here.",` +
				`"error":"Something went wrong here.","code":"internal","retryable":false,"requestId":"id-1"}` + "\n"
			if rec.Code != 500 || rec.Body.String() != want || rec.Header().Get("Content-Length") != fmt.Sprint(len(want)) {
				t.Errorf("%d %v\n%s", rec.Code, rec.Header(), rec.Body)
			}
			if !strings.Contains(log, row.logged) || !strings.Contains(log, "request_test.go") || strings.Count(log, `"level":"ERROR"`) != 2 ||
				!strings.Contains(log, `"error.type":"internal","http.response.status_code":500`) {
				t.Errorf("log: %s", log)
			}
			if strings.Contains(log, canary) || strings.Contains(log, hex.EncodeToString([]byte(canary))) {
				t.Errorf("the panic's value is in the log: %s", log)
			}
		})
	}
	t.Run("over a real connection", func(t *testing.T) {
		panics := true
		server := httptest.NewServer(request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if panics {
				panics = false
				panic(canary)
			}
			next(w, r)
		}), slog.New(slog.DiscardHandler)))
		defer server.Close()
		for _, want := range []int{500, 200} {
			resp, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%d, want %d", resp.StatusCode, want)
			}
		}
	})
}

// A harmless incoming ID is kept; otherwise the platform's is used, or a new one.
func TestRequestID(t *testing.T) {
	fresh := regexp.MustCompile(`^[A-Z2-7]{26}$`)
	long := strings.Repeat("x", 128)
	for name, row := range map[string]struct{ incoming, platform, want string }{
		"incoming":                      {"a.B_c-1", "p-1", "a.B_c-1"},
		"as long as may be":             {long, "", long},
		"too long":                      {long + "x", "p-1", "p-1"},
		"a space":                       {"a b", "p-1", "p-1"},
		"a line break":                  {"a\r\nX: 1", "p-1", "p-1"},
		"a line break at the end":       {"a\n", "p-1", "p-1"},
		"another alphabet":              {"ä", "p-1", "p-1"},
		"none":                          {"", "p-1", "p-1"},
		"API Gateway's own (base64)":    {"", "JKJaXmPLvHcESHA=", "JKJaXmPLvHcESHA="},
		"a client's in base64":          {"JKJaXmPLvHcESHA=", "p-1", "p-1"},
		"neither":                       {"", "", ""},
		"the platform's is invalid":     {"", "a b", ""},
		"both are invalid":              {"{}", "a b", ""},
		"a UUID":                        {"", "9a1b2c3d-0000-4000-8000-123456789abc", "9a1b2c3d-0000-4000-8000-123456789abc"},
		"what a template left unfilled": {"${id}", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := get()
			if row.incoming != "" {
				r.Header["X-Request-Id"] = []string{row.incoming}
			}
			r = r.WithContext(platform.With(r.Context(), platform.Info{RequestID: row.platform}))
			var seen string
			rec, log := serve(func(w http.ResponseWriter, r *http.Request) { seen = request.From(r.Context()).RequestID }, r)
			got := rec.Header().Get("X-Request-Id")
			if row.want != "" && got != row.want || row.want == "" && !fresh.MatchString(got) {
				t.Errorf("%q, want %q", got, row.want)
			}
			if seen != got || !strings.Contains(log, `"request_id":"`+got+`"`) {
				t.Errorf("answered %q, recorded %q, logged %s", got, seen, log)
			}
		})
	}
}

func TestTraceID(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	const span = "00f067aa0ba902b7"
	for name, row := range map[string]struct {
		header     []string
		want, span string
	}{
		"X-Ray":                        {[]string{"X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"}, "1-67891233-abcdef012345678912345678", ""},
		"X-Ray behind a balancer":      {[]string{"X-Amzn-Trace-Id", "Self=1-67891234-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678"}, "1-67891233-abcdef012345678912345678", ""},
		"Google":                       {[]string{"X-Cloud-Trace-Context", id + "/123;o=1"}, id, ""},
		"Google without a span":        {[]string{"X-Cloud-Trace-Context", id + ";o=1"}, id, ""},
		"Google, the trace alone":      {[]string{"X-Cloud-Trace-Context", id}, id, ""},
		"Google and W3C":               {[]string{"X-Cloud-Trace-Context", id + "/123;o=1", "Traceparent", "00-" + id + "-" + span + "-01"}, id, span},
		"Google and another of W3C":    {[]string{"X-Cloud-Trace-Context", id + "/123;o=1", "Traceparent", "00-11f92f3577b34da6a3ce929d0e0e4736-" + span + "-01"}, id, ""},
		"W3C":                          {[]string{"Traceparent", "00-" + id + "-" + span + "-01"}, id, span},
		"W3C, a span that is none":     {[]string{"Traceparent", "00-" + id + "-<script>-01"}, id, ""},
		"W3C, a short span":            {[]string{"Traceparent", "00-" + id + "-00f067-01"}, id, ""},
		"W3C of another version":       {[]string{"Traceparent", "00-" + id + "-" + span + "-01-x"}, "", ""},
		"none":                         {nil, "", ""},
		"forged":                       {[]string{"X-Cloud-Trace-Context", `","level":"ERROR`}, "", ""},
		"forged, then a good one":      {[]string{"X-Amzn-Trace-Id", "Root=<script>", "Traceparent", "00-" + id + "-" + span + "-01"}, id, span},
		"forged, then one of Google's": {[]string{"Traceparent", "00-<script>-" + span + "-01", "X-Cloud-Trace-Context", id}, id, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, log := serve(func(http.ResponseWriter, *http.Request) {}, get(row.header...))
			var line struct {
				Trace string `json:"trace_id"`
				Span  string `json:"span_id"`
			}
			if err := json.Unmarshal([]byte(log), &line); err != nil || line.Trace != row.want || line.Span != row.span {
				t.Errorf("%v: %s", err, log)
			}
		})
	}
	t.Run("the platform's trace takes precedence", func(t *testing.T) {
		r := get("Traceparent", "00-11f92f3577b34da6a3ce929d0e0e4736-"+span+"-01")
		r = r.WithContext(platform.With(r.Context(), platform.Info{TraceID: id, SpanID: "11f067aa0ba902b7"}))
		if _, log := serve(func(http.ResponseWriter, *http.Request) {}, r); !strings.Contains(log, `"trace_id":"`+id+`","span_id":"11f067aa0ba902b7"`) {
			t.Error(log)
		}
	})
}

// A request's line has all known fields, and no unknown ones.
func TestLogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := request.From(r.Context())
			if r.URL.Path == "/full" {
				x.Tenant, x.Origin, x.Auth, x.Issuer, x.Caller = "acme", "https://app.example", "oidc", "https://id.example", "5f"
				x.TokenHash, x.TokenExpires, x.OrgaRequestID, x.Attempts = "ab12", time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC), "req_1", 3
				x.Secret, x.Token, x.ICE = time.Millisecond, 1500*time.Microsecond, 2*time.Millisecond
			}
			time.Sleep(5 * time.Millisecond)
			request.WriteJSON(w, 200, "application/json", 1)
		}), slog.New(slog.NewJSONHandler(&out, nil)))
		for path, want := range map[string]string{
			"/full": `"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","http.request.method":"POST","tenant":"acme","origin":"https://app.example",` +
				`"auth":"oidc","issuer":"https://id.example","user.hash":"5f","http.response.status_code":200,"total_ms":5,"secret_ms":1,"token_ms":1.5,"ice_ms":2,` +
				`"attempts":3,"orga_request_id":"req_1","token_sha256":"ab12","token_expires_at":"2000-01-01T00:02:00Z"}`,
			"/bare": `"http.request.method":"POST","http.response.status_code":200,"total_ms":5}`,
		} {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)) // the cold one
			out.Reset()
			r := httptest.NewRequest(http.MethodPost, path+"?email=someone@mail.example", nil)
			r.Header.Set("X-Request-Id", "id-1")
			r.Header.Set("Authorization", "Bearer private")
			if r.RemoteAddr = ""; path == "/full" {
				r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			want = `{"time":"2000-01-01T00:00:00.0","level":"INFO","msg":"request","request_id":"id-1",` + want + "\n"
			if got := regexp.MustCompile(`(00:00:00\.0)\d*Z`).ReplaceAllString(out.String(), "$1"); got != want {
				t.Errorf("\n got %swant %s", got, want)
			}
		}
	})
}

// One request cannot fill the log.
func TestLongTextsInTheLog(t *testing.T) {
	for _, long := range []string{strings.Repeat("A", 60_000), strings.Repeat("€", 20_000)} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Method = long
		_, line := serve(fail(problem.New(problem.AuthUnavailable, errors.New(long))), r)
		var got struct {
			Method string `json:"http.request.method"`
			Cause  string
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || len(line) > 4<<10 {
			t.Errorf("a line of %d bytes: %v", len(line), err)
		}
		for _, text := range []string{got.Method, got.Cause} {
			if start, ok := strings.CutSuffix(text, "…"); !ok || !strings.HasPrefix(long, start) || len(start) < 1000 {
				t.Errorf("%d bytes are logged as %q", len(long), text)
			}
		}
	}
}

// A client that disconnects makes waits fail: those are no symptoms. What needs a person is recorded all the same.
func TestClientGone(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	const same = ""
	for _, tt := range []struct {
		failure *problem.Problem
		want    problem.Code
	}{
		{problem.New(problem.Timeout, nil), problem.ClientGone},
		{problem.New(problem.LimiterUnavailable, nil), problem.ClientGone},
		{problem.New(problem.AuthUnavailable, nil), problem.ClientGone},
		{problem.New(problem.SecretUnavailable, nil), problem.ClientGone},
		{&problem.Problem{Code: problem.SecretUnavailable, Permanent: true}, same},
		{problem.New(problem.UpstreamError, nil), problem.ClientGone},
		{problem.New(problem.UpstreamRateLimited, nil), problem.ClientGone},
		{problem.New(problem.UpstreamAuthFailed, nil), same},
		{problem.New(problem.Misconfigured, nil), same},
		{problem.New(problem.Internal, nil), same},
		{problem.New(problem.RateLimited, nil), same},
		{problem.New(problem.Unauthenticated, nil), same},
	} {
		for ctx, want := range map[context.Context]problem.Code{t.Context(): same, expired: same, gone: tt.want} {
			want = cmp.Or(want, tt.failure.Code)
			w := httptest.NewRecorder()
			request.Fail(w, get().WithContext(ctx), tt.failure)
			if !strings.Contains(w.Body.String(), `"code":"`+string(want)+`"`) {
				t.Errorf("%s, %v: %s, want %s", tt.failure.Code, ctx.Err(), w.Body, want)
			}
		}
	}
}

// Only faults that need a person are errors. Health checks are not logged.
func TestLevels(t *testing.T) {
	for _, row := range []struct {
		code  problem.Code
		quiet bool
		want  slog.Level
	}{
		{"", false, slog.LevelInfo},
		{"", true, slog.LevelDebug},
		{problem.Unauthenticated, false, slog.LevelInfo},
		{problem.RateLimited, false, slog.LevelInfo},
		{problem.ClientGone, false, slog.LevelInfo},
		{problem.Misconfigured, false, slog.LevelError},
		{problem.Internal, false, slog.LevelError},
		{problem.UpstreamAuthFailed, false, slog.LevelError},
		{problem.UpstreamError, false, slog.LevelWarn},
		{problem.UpstreamRateLimited, false, slog.LevelWarn},
		{problem.SecretUnavailable, false, slog.LevelWarn},
		{problem.SecretUnavailable, true, slog.LevelWarn},
		{problem.Timeout, false, slog.LevelWarn},
	} {
		t.Run(string(row.code), func(t *testing.T) {
			var out bytes.Buffer
			request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				request.From(r.Context()).Quiet = row.quiet
				if row.code != "" {
					request.Fail(w, r, problem.New(row.code, nil))
				}
			}), slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))).ServeHTTP(httptest.NewRecorder(), get())
			message := "request"
			if row.quiet {
				message = "check"
			}
			if row.quiet && strings.Contains(out.String(), "client_hash") {
				t.Errorf("a health check was logged with a client: %s", out.String())
			}
			if !strings.Contains(out.String(), `"level":"`+row.want.String()+`","msg":"`+message+`"`) {
				t.Errorf("want %v, %s: %s", row.want, message, out.String())
			}
		})
	}
}

// The first request of an instance is marked as a cold start.
func TestColdStart(t *testing.T) {
	var out bytes.Buffer
	h := request.Handler(fail(problem.New(problem.NotFound, nil)), slog.New(slog.NewJSONHandler(&out, nil)))
	for _, want := range []bool{true, false} {
		out.Reset()
		h.ServeHTTP(httptest.NewRecorder(), get())
		if strings.Contains(out.String(), `"faas.coldstart":true`) != want {
			t.Errorf("want %v: %s", want, out.String())
		}
	}
}

func TestFromOutsideRequest(t *testing.T) {
	if x := request.From(context.Background()); x == nil || x.RequestID != "" {
		t.Errorf("%+v", x)
	}
}

// A refusal: a code for the client, a cause for the log.
func ExampleProblem() {
	h := request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request.Fail(w, r, &problem.Problem{
			Code: problem.RateLimited, RetryAfter: 7 * time.Second,
			Cause: errors.New("the caller has used up 30 in a minute"),
		})
	}), slog.New(slog.DiscardHandler))

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Request-Id", "a-1")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	fmt.Println(rec.Code, rec.Header().Get("Retry-After"))
	fmt.Print(rec.Body)
	// Output:
	// 429 7
	// {"type":"about:blank#rate_limited","title":"Too Many Requests","status":429,"detail":"Retry in 7 seconds.","error":"Retry in 7 seconds.","code":"rate_limited","retryable":true,"requestId":"a-1"}
}

// A request's lines have its ID once, also with preceding attributes; other lines have none.
func TestStamp(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, tt := range []struct {
		name string
		log  *slog.Logger
	}{{"plain", request.Stamp(log)}, {"with attributes", request.Stamp(log).With("a", 1)}} {
		out.Reset()
		h := request.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			tt.log.InfoContext(r.Context(), "inside")
		}), slog.New(slog.DiscardHandler))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Request-Id", "abc")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if strings.Count(out.String(), `"request_id":"abc"`) != 1 {
			t.Errorf("%s: %s", tt.name, out.String())
		}
		out.Reset()
		if tt.log.InfoContext(t.Context(), "outside"); strings.Contains(out.String(), "request_id") {
			t.Errorf("%s, outside of a request: %s", tt.name, out.String())
		}
	}
}

// fault 75: after parsing, two spellings of a header are one header with two values.
func TestAmbiguousHeaders(t *testing.T) {
	for _, tt := range []struct {
		header  []string
		refused bool
	}{
		{[]string{"Authorization", "Bearer a", "authorization", "Bearer b"}, true},
		{[]string{"Origin", "https://a.example", "ORIGIN", "https://b.example"}, true},
		{[]string{"Content-Type", "application/json", "Content-Type", "text/plain"}, true},
		{[]string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, true},
		{[]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Mode", "no-cors"}, true},
		{[]string{"Cf-Access-Jwt-Assertion", "a", "Cf-Access-Jwt-Assertion", "b"}, true},
		{[]string{"X-Nf-Client-Connection-Ip", "192.0.2.1", "X-Nf-Client-Connection-Ip", "192.0.2.2"}, true},
		{[]string{"Cf-Connecting-Ip", "192.0.2.1", "Cf-Connecting-Ip", "192.0.2.2"}, true},
		{[]string{"Authorization", "Bearer a", "Authorization", "Bearer a"}, false},
		{[]string{"X-Request-Id", "a", "X-Request-Id", "b"}, false}, // the proxy's and the client's
		{[]string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-For", "192.0.2.2"}, false},
	} {
		served := false
		rec, log := serve(func(http.ResponseWriter, *http.Request) { served = true }, get(tt.header...))
		if served == tt.refused || (rec.Code == 400) != tt.refused {
			t.Errorf("%q: served %t, %d", tt.header, served, rec.Code)
		}
		if tt.refused && !strings.Contains(log, `"error.type":"bad_request"`) {
			t.Errorf("%q: %s", tt.header, log)
		}
	}
}

// Unverified clients are distinguished without their addresses.
func TestClientHash(t *testing.T) {
	hash := func(addr string, next http.HandlerFunc) string {
		r := get()
		r.RemoteAddr = addr
		_, log := serve(next, r)
		var line map[string]any
		if err := json.Unmarshal([]byte(log), &line); err != nil {
			t.Fatalf("%v: %s", err, log)
		}
		if strings.Contains(log, "192.0.2") || strings.Contains(log, "2001:db8") {
			t.Errorf("an address is in the log: %s", log)
		}
		h, _ := line["client_hash"].(string)
		return h
	}
	refused := fail(problem.New(problem.Unauthenticated, nil))
	first := hash("192.0.2.1:1", refused)
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(first) {
		t.Errorf("%q", first)
	}
	sum := sha256.Sum256([]byte("192.0.2.1"))
	for name, row := range map[string]struct {
		got  string
		same bool
	}{
		"another port":                 {hash("192.0.2.1:2", refused), true},
		"IPv4 in IPv6":                 {hash("[::ffff:192.0.2.1]:1", refused), true},
		"a mint by an anonymous one":   {hash("192.0.2.1:1", func(http.ResponseWriter, *http.Request) {}), true},
		"another address":              {hash("192.0.2.2:1", refused), false},
		"a hash that anybody can make": {hex.EncodeToString(sum[:8]), false},
		"an unknown address":           {hash("", refused), false},
	} {
		if (row.got == first) != row.same {
			t.Errorf("%s: %q, the first has %q", name, row.got, first)
		}
	}
	if a, b := hash("[2001:db8::1]:1", refused), hash("[2001:db8::2]:1", refused); a == "" || a != b {
		t.Errorf("two addresses of one /64: %q, %q", a, b)
	}
	if h := hash("", refused); h != "" {
		t.Errorf("an unknown address: %q", h)
	}
	if h := hash("192.0.2.1:1", func(_ http.ResponseWriter, r *http.Request) { request.From(r.Context()).Caller = "5f" }); h != "" {
		t.Errorf("a verified caller: %q", h)
	}
}

// A panic after the start of an answer cannot change what was sent, but is logged.
func TestPanicAfterTheStatus(t *testing.T) {
	rec, log := serve(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("oh")
	}, get())
	if rec.Code != 200 || rec.Body.Len() > 0 || !strings.Contains(log, `"error.type":"internal","http.response.status_code":200`) || strings.Count(log, `"level":"ERROR"`) != 2 {
		t.Errorf("%d %s\n%s", rec.Code, rec.Body, log)
	}
}

// Steps are logged at debug level, with the request's ID, to the endpoint's own log.
func TestLogger(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var out bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level}))
		request.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			request.Logger(r.Context()).DebugContext(r.Context(), "a step")
		}), log).ServeHTTP(httptest.NewRecorder(), get("X-Request-Id", "id-1"))
		if traced := strings.Contains(out.String(), `"msg":"a step","request_id":"id-1"`); traced != (level == slog.LevelDebug) {
			t.Errorf("at %v: %s", level, out.String())
		}
	}
	if request.Logger(t.Context()) != slog.Default() {
		t.Error("outside of a request it is not the default logger")
	}
}

// The cost of the layers around every request, including the log line.
func BenchmarkHandler(b *testing.B) {
	b.ReportAllocs()
	h := request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := request.From(r.Context())
		x.Origin, x.Auth, x.TokenHash, x.OrgaRequestID, x.Attempts = "https://app.example", "anonymous", "ab12ab12ab12ab12", "req_1", 2
		x.Secret, x.Token, x.ICE, x.TokenExpires = time.Microsecond, 50*time.Millisecond, 45*time.Millisecond, time.Now().Add(time.Minute)
		w.WriteHeader(http.StatusOK)
	}), slog.New(slog.NewJSONHandler(io.Discard, nil))) //nolint:sloglint // the cost of JSON counts
	r := get()
	w := httptest.NewRecorder()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
