//go:build js && wasm

package workers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// job is what was left with the host.
type job struct {
	js.Value
	leave      string // delegate or post
	invocation int
}

func (j job) kind() string { return j.Get("kind").String() }

func (j job) settle(result map[string]any) { settle(j.Get("id").Int(), js.ValueOf(result)) }

// newHost puts a host in the place of host.mjs. do answers its jobs, each in a goroutine; nil never does. The ids of
// the jobs that are stopped go to the channel.
func newHost(t *testing.T, env map[string]any, do func(job)) (stopped chan int) {
	t.Helper()
	stopped = make(chan int, 100)
	leave := func(how string) js.Func {
		return function(func(args []js.Value) {
			if j := (job{args[1], how, args[0].Int()}); do != nil {
				go do(j)
			}
		})
	}
	before := host
	host = js.ValueOf(map[string]any{
		"env": env, "starter": 7, "delegate": leave("delegate"), "post": leave("post"),
		"stop": function(func(args []js.Value) { stopped <- args[0].Int() }),
	})
	t.Cleanup(func() { host = before })
	return stopped
}

// store is the secret of one binding.
type store struct {
	t       *testing.T
	content *string
}

func newStore(t *testing.T) secrettest.Store {
	s := &store{t: t}
	newHost(t, map[string]any{"KEY": map[string]any{"get": js.FuncOf(func(js.Value, []js.Value) any { return nil })}}, func(j job) {
		switch {
		case j.kind() != "secret" || j.Get("name").String() != "KEY":
			t.Errorf("a job %s of %s", j.kind(), j.Get("name"))
		case s.content == nil:
			j.settle(map[string]any{"error": `Secret "orga-api-key" not found`}) // as workerd says it
		default:
			j.settle(map[string]any{"text": text(*s.content)})
		}
	})
	return s
}

// text is a JavaScript text with all of s: js.ValueOf drops a byte order mark.
func text(s string) js.Value {
	decoder := js.Global().Get("TextDecoder").New("utf-8", map[string]any{"ignoreBOM": true})
	return decoder.Call("decode", toJS([]byte(s)))
}

func (s *store) Source() secret.Source {
	src, err := SecretsStore(secret.Ref{Scheme: "cloudflare", Name: "KEY"})
	if err != nil {
		s.t.Fatal(err)
	}
	return src
}

func (s *store) Put(_ testing.TB, content string) { s.content = &content }
func (s *store) Delete(testing.TB)                { s.content = nil }

func TestSecretsStoreConformance(t *testing.T) { secrettest.Conformance(t, newStore) }

func TestSecretsStoreMissingBinding(t *testing.T) {
	newHost(t, map[string]any{"TEXT": "a variable", "KV": map[string]any{}}, nil)
	for _, name := range []string{"NOTHING", "TEXT", "KV"} {
		if _, err := SecretsStore(secret.Ref{Scheme: "cloudflare", Name: name}); !errors.Is(err, secret.ErrMisconfigured) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsStoreOutage(t *testing.T) {
	newHost(t, map[string]any{"KEY": map[string]any{"get": js.FuncOf(func(js.Value, []js.Value) any { return nil })}}, func(j job) {
		j.settle(map[string]any{"error": "internal error; reference = 1"})
	})
	src, err := SecretsStore(secret.Ref{Scheme: "cloudflare", Name: "KEY"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = src.Fetch(t.Context()); err == nil || errors.Is(err, secret.ErrPermanent) || errors.Is(err, secret.ErrMisconfigured) {
		t.Errorf("an outage is %v", err)
	}
}

func TestEnv(t *testing.T) {
	newHost(t, map[string]any{"ORGA_AUTH": "oidc", "EMPTY": "", "KV": map[string]any{}}, nil)
	if env := Env(); len(env) != 2 || env["ORGA_AUTH"] != "oidc" {
		t.Errorf("the environment is %v", env)
	}
}

// A job belongs to the request whose context it has, detached or not; the body of a request is read by no other.
func TestJobsBelongToTheirRequest(t *testing.T) {
	jobs := make(chan job, 1)
	newHost(t, nil, func(j job) {
		jobs <- j
		j.settle(map[string]any{"status": 204, "headers": "", "data": toJS(nil), "done": true})
	})
	request := withInvocation(t.Context(), 3)
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		kind  string
		leave string
		id    int
	}{
		{"of a request", request, "fetch", "delegate", 3},
		{"detached", context.WithoutCancel(request), "fetch", "delegate", 3},
		{"of the start", Background(), "secret", "delegate", 7},
		{"of none", t.Context(), "fetch", "delegate", 0},
		{"a body", request, "body", "post", 3},
	} {
		if _, _, err := do(tt.ctx, tt.kind, map[string]any{}); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if j := <-jobs; j.leave != tt.leave || j.invocation != tt.id || j.kind() != tt.kind {
			t.Errorf("%s: %s of %d was left by %s", tt.name, j.kind(), j.invocation, j.leave)
		}
	}
}

func TestTransport(t *testing.T) {
	var sent job
	stopped := newHost(t, nil, func(j job) {
		switch j.kind() {
		case "fetch":
			sent = j
			j.settle(map[string]any{
				"status": 200, "headers": "content-type\ntext/plain\nset-cookie\na=1\nset-cookie\nb=2\ncontent-encoding\ngzip\ncontent-length\n9\n",
				"data": toJS([]byte("one ")), "done": false,
			})
		case "read":
			j.settle(map[string]any{"data": toJS([]byte("two")), "done": true})
		}
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://orga.example/v1?a=b", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer key")
	resp, err := Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 4)
	js.CopyBytesToGo(content, sent.Get("body"))
	if sent.Get("url").String() != "https://orga.example/v1?a=b" || sent.Get("method").String() != "POST" ||
		sent.Get("headers").String() != "Authorization\nBearer key\n" || string(content) != "body" {
		t.Errorf("the host was asked for %s %s %q %q", sent.Get("method"), sent.Get("url"), sent.Get("headers"), content)
	}
	if resp.StatusCode != 200 || !slices.Equal(resp.Header.Values("Set-Cookie"), []string{"a=1", "b=2"}) {
		t.Errorf("answered %d %v", resp.StatusCode, resp.Header)
	}
	if resp.Header.Get("Content-Encoding") != "" || resp.Header.Get("Content-Length") != "" || !resp.Uncompressed {
		t.Errorf("the runtime has decompressed the body, and the header says %v", resp.Header)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "one two" {
		t.Errorf("the body is %q, %v", body, err)
	}
	resp.Body.Close()
	if len(stopped) > 0 {
		t.Error("a body that was read to its end is stopped")
	}
}

func TestTransportStops(t *testing.T) {
	stopped := newHost(t, nil, func(j job) {
		if j.Get("url").String() == "https://orga.example/" {
			j.settle(map[string]any{"status": 200, "headers": "", "data": toJS([]byte("part")), "done": false})
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://orga.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close() // with more to come
	if id := <-stopped; id != lastJob {
		t.Errorf("job %d is stopped, not %d", id, lastJob)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a read after Close: %v", err)
	}

	req.URL.Host = "hangs.example"
	go cancel()
	if _, err := Transport.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose caller left: %v", err)
	}
	if id := <-stopped; id != lastJob {
		t.Errorf("job %d is stopped, not %d", id, lastJob)
	}
	if len(waiting) > 0 {
		t.Errorf("%d jobs are still waited for", len(waiting))
	}
}

func TestTransportError(t *testing.T) {
	newHost(t, nil, func(j job) {
		j.settle(map[string]any{"error": "Fetch failed: https://orga.example/?email=secret"})
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://orga.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Transport.RoundTrip(req)
	if _, ok := errors.AsType[*net.OpError](err); !ok || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "Fetch failed") {
		t.Errorf("the error is %v", err)
	}
}

// values returns the arguments that the host passes for a request.
func values(method, address, headers string, hasBody bool) []js.Value {
	return []js.Value{js.ValueOf(1), js.ValueOf(method), js.ValueOf(address), js.ValueOf(headers), js.ValueOf(hasBody)}
}

func TestRequest(t *testing.T) {
	headers := "host\norga.example\ncf-connecting-ip\n2001:db8::1\ncf-ray\n8f1-AMS\nx-forwarded-for\n192.0.2.1\nx-real-ip\n192.0.2.2\n"
	r := newRequest(t.Context(), newResponseWriter(), values("GET", "https://orga.example/api/a%2Fb?x=%20y", headers, false))
	if r.Host != "orga.example" || r.URL.EscapedPath() != "/api/a%2Fb" || r.URL.RawQuery != "x=%20y" || r.RequestURI != "/api/a%2Fb?x=%20y" {
		t.Errorf("host %s, URL %v, RequestURI %s", r.Host, r.URL, r.RequestURI)
	}
	if r.RemoteAddr != "[2001:db8::1]:0" {
		t.Errorf("RemoteAddr is %s", r.RemoteAddr)
	}
	if info := platform.From(r.Context()); info.RequestID != "8f1-AMS" || !info.HTTPS || info.Identity != nil {
		t.Errorf("the platform says %+v", info)
	}
	if r.Header.Get("Host") != "" || r.ContentLength != 0 || r.Body != http.NoBody {
		t.Errorf("Host %q, a body of %d", r.Header.Get("Host"), r.ContentLength)
	}
	if r = newRequest(t.Context(), newResponseWriter(), values("GET", "http://localhost:8787", "", false)); r.URL.Path != "/" || platform.From(r.Context()).HTTPS || r.RemoteAddr != "" {
		t.Errorf("%v from %q, https %v", r.URL, r.RemoteAddr, platform.From(r.Context()).HTTPS)
	}
	if r = newRequest(t.Context(), newResponseWriter(), values("GET", "https://orga.example/a%zz?b", "", false)); r.URL.Path != "/a%zz" || r.URL.RawQuery != "b" {
		t.Errorf("a bare %% is %+v", r.URL)
	}
}

// Long headers, and many short ones, are refused before they take memory.
func TestHeaderLimits(t *testing.T) {
	sized := func(size int) string { return "a\n" + strings.Repeat("b", size-3) + "\n" }
	for name, tt := range map[string]struct {
		headers string
		fits    bool
	}{
		"24 KiB":        {sized(24 << 10), true},
		"a byte more":   {sized(24<<10 + 1), false},
		"128 lines":     {strings.Repeat("a\n\n", 128), true},
		"one line more": {strings.Repeat("a\n\n", 129), false},
	} {
		r := newRequest(t.Context(), newResponseWriter(), values("GET", "https://orga.example/", tt.headers, false))
		if (r != nil) != tt.fits {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func TestAccess(t *testing.T) {
	for _, tt := range []struct{ headers, want string }{
		{"cf-access-jwt-assertion\na.b.c\n", "Bearer a.b.c"},
		{"cf-access-jwt-assertion\na.b.c\nauthorization\nOrga-HMAC ts=1,sig=2\n", "Orga-HMAC ts=1,sig=2"},
		{"", ""},
	} {
		r := newRequest(t.Context(), newResponseWriter(), values("GET", "https://orga.example/", tt.headers, false))
		if got := r.Header.Get("Authorization"); got != tt.want {
			t.Errorf("%q makes Authorization %q, want %q", tt.headers, got, tt.want)
		}
	}
}

// A body is read when the handler wants it, and no longer than its deadline.
func TestRequestBody(t *testing.T) {
	pieces := [][]byte{[]byte("one "), []byte("two")}
	read := 0
	newHost(t, nil, func(j job) {
		if read == len(pieces) {
			return // the rest never comes
		}
		read++
		j.settle(map[string]any{"data": toJS(pieces[read-1]), "done": false})
	})
	w := newResponseWriter()
	r := newRequest(t.Context(), w, values("POST", "https://orga.example/", "content-length\n20\n", true))
	if r.ContentLength != 20 || read != 0 {
		t.Errorf("a body of %d, of which %d pieces are read", r.ContentLength, read)
	}
	body := make([]byte, 7)
	if _, err := io.ReadFull(r.Body, body); err != nil || string(body) != "one two" {
		t.Errorf("read %q, %v", body, err)
	}
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Body.Read(body); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if r = newRequest(t.Context(), w, values("POST", "https://orga.example/", "", true)); r.ContentLength != -1 {
		t.Errorf("a body of unknown length has %d", r.ContentLength)
	}
}

func TestResponse(t *testing.T) {
	tests := []struct {
		name, method string
		handle       http.HandlerFunc
		status       int
		header, body string
	}{
		{"silent", "GET", func(http.ResponseWriter, *http.Request) {}, 200, "", ""},
		{"a header too late", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("A", "1")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("B", "2")
			w.WriteHeader(404)
		}, 200, "A\n1\n", "body"},
		{"HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") }, 200, "", ""},
		{"no content", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			_, _ = io.WriteString(w, "body")
		}, 204, "", ""},
		{"two cookies", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.WriteHeader(100)
			w.WriteHeader(403)
		}, 403, "Set-Cookie\na=1\nSet-Cookie\nb=2\n", ""},
	}
	for _, tt := range tests {
		w := newResponseWriter()
		tt.handle(w, nil)
		reply := w.reply(tt.method)
		var body bytes.Buffer
		data := reply["body"].(js.Value)
		body.Write(make([]byte, data.Length()))
		js.CopyBytesToGo(body.Bytes(), data)
		if reply["status"] != tt.status || reply["headers"] != tt.header || body.String() != tt.body {
			t.Errorf("%s: %v %q %q", tt.name, reply["status"], reply["headers"], body.String())
		}
	}
}
