package orga_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// Every known form of a token is accepted.
func TestMintDrift(t *testing.T) {
	for _, drift := range orgatest.MintDrifts {
		t.Run(drift.Name, func(t *testing.T) {
			api := orgatest.Start(t, &orgatest.API{MintDrift: drift}, false)
			client := api.NewClient()
			token, err := client.MintToken(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if token.Reveal() != api.Tokens()[0] {
				t.Error("another token than was minted")
			}
			left := time.Until(token.ExpiresAt)
			switch {
			case !drift.Expiry && !token.ExpiresAt.IsZero():
				t.Errorf("expiry %v, want unknown", token.ExpiresAt)
			case drift.Expiry && (left < 115*time.Second || left > 121*time.Second):
				t.Errorf("%v left of 2 minutes", left)
			case drift.Expiry && token.ExpiresAt.Location() != time.UTC:
				t.Errorf("expiry in %v", token.ExpiresAt.Location())
			}
		})
	}
}

// Clients get Orga's ICE answer, without the parts that a browser would reject.
func TestICEDrift(t *testing.T) {
	for _, drift := range orgatest.ICEDrifts {
		t.Run(drift.Name, func(t *testing.T) {
			api := orgatest.Start(t, &orgatest.API{ICEDrift: drift}, false)
			client := api.NewClient()
			config, err := client.SessionConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			username, credential := orgatest.Credential(config.Token.Reveal())
			_, want := drift.Body(orgatest.Servers(config.Token.Reveal()))
			if got := marshal(t, config.ICEServers); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			for _, s := range config.ICEServers {
				u, c := s.Credential()
				if len(s.URLs()) != 1 || strings.HasPrefix(s.URLs()[0], "turn:") && (u != username || c != credential) {
					t.Errorf("accessors: %v, %q, %q", s.URLs(), u, c)
				}
			}
		})
	}
}

// An unusable 2xx is an error without the answer's text.
func TestMalformed(t *testing.T) {
	check := func(t *testing.T, call orga.Call, h http.Handler) {
		t.Helper()
		api := orgatest.New(t)
		api.Fail(call, h)
		client := api.NewClient()
		config, err := client.SessionConfig(t.Context())
		e, ok := errors.AsType[*orga.Error](err)
		if !ok || !errors.Is(err, orga.ErrMalformed) || e.Call != call || e.Status != 200 {
			t.Errorf("%v", err)
		}
		if !reflect.DeepEqual(config, orga.SessionConfig{}) {
			t.Error("an error came with half an answer")
		}
		api.Fail(call, h)
		token, err := client.MintToken(t.Context())
		if err != nil && (call != orga.CallMint || token.Reveal() != "") {
			t.Errorf("%v, and a token", err)
		}
		if servers, err := client.ICEServers(t.Context(), token); err != nil && servers != nil {
			t.Errorf("%v, and a list", err)
		}
	}
	for _, s := range orgatest.BadMints {
		t.Run("mint "+s.Name, func(t *testing.T) { check(t, orga.CallMint, orgatest.Status(200, s.Body)) })
	}
	for _, s := range orgatest.BadICE {
		t.Run("ICE "+s.Name, func(t *testing.T) { check(t, orga.CallICE, orgatest.Status(200, s.Body)) })
	}
	for _, call := range []orga.Call{orga.CallMint, orga.CallICE} {
		t.Run("fault 43: 100 MB "+string(call), func(t *testing.T) { check(t, call, orgatest.Flood()) })
		t.Run("fault 43: gzip bomb "+string(call), func(t *testing.T) { check(t, call, orgatest.GzipBomb()) })
		t.Run("fault 43: HTML "+string(call), func(t *testing.T) { check(t, call, orgatest.HTML()) })
	}
	for name, body := range map[string]string{"no gzip": `{"ephemeral_token":"t"}`, "nothing": ""} {
		t.Run("said to be gzip: "+name, func(t *testing.T) { check(t, orga.CallMint, orgatest.Status(200, body, "Content-Encoding", "gzip")) })
	}
	zipped := func(s string) string {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		_, _ = io.WriteString(zip, s)
		_ = zip.Close()
		return out.String()
	}(`{"ephemeral_token":"t"}`)
	for _, n := range []int{1, 5, 10, len(zipped) / 2, len(zipped) - 8, len(zipped) - 1} {
		t.Run(fmt.Sprintf("gzip cut after %d bytes of %d", n, len(zipped)), func(t *testing.T) {
			check(t, orga.CallMint, orgatest.Status(200, zipped[:n], "Content-Encoding", "gzip"))
		})
	}
	t.Run("ICE servers that are nested too deeply for the answer around them", func(t *testing.T) {
		const levels = 9_998 // and the server's own: one fewer than encoding/json knows
		check(t, orga.CallICE, orgatest.Status(200, `{"urls":"stun:a","x":`+strings.Repeat("[", levels)+strings.Repeat("]", levels)+`}`))
	})
}

// At most 64 KiB of an answer are read, after decompression, without waiting for more.
func TestBodyLimit(t *testing.T) {
	const limit, body = 64 << 10, `{"ephemeral_token":"t"}`
	for name, row := range map[string]struct {
		size int
		ok   bool
	}{
		"at the limit": {limit, true},
		"one above":    {limit + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			api := orgatest.New(t)
			api.FailAll(orga.CallMint, orgatest.Status(200, body+strings.Repeat(" ", row.size-len(body)), "Content-Length", strconv.Itoa(row.size)))
			client := api.NewClient()
			for range 3 {
				if _, err := client.MintToken(t.Context()); (err == nil) != row.ok {
					t.Error(err)
				}
			}
			if row.ok && api.Connections() != 1 {
				t.Errorf("%d connections for 3 calls: the body was not read to its end", api.Connections())
			}
		})
	}

	t.Run("unrequested gzip", func(t *testing.T) {
		api := orgatest.New(t)
		api.Intercept = func(_ orga.Call, r *http.Request) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if r.Header.Get("Accept-Encoding") != "identity" {
					t.Errorf("Accept-Encoding: %s", r.Header.Get("Accept-Encoding"))
				}
				w.Header().Set("Content-Encoding", "gzip")
				zip := gzip.NewWriter(w)
				_, _ = io.WriteString(zip, body)
				_ = zip.Close()
			})
		}
		client := api.NewClient()
		for range 3 {
			if token, err := client.MintToken(t.Context()); err != nil || token.Reveal() != "t" {
				t.Error(err)
			}
		}
		if api.Connections() != 1 {
			t.Errorf("%d connections for 3 calls", api.Connections())
		}
	})

	var nothing bytes.Buffer
	_ = gzip.NewWriter(&nothing).Close()
	for name, chunk := range map[string][]byte{"": make([]byte, 64<<10), "gzip": bytes.Repeat(nothing.Bytes(), 4<<10)} {
		t.Run("fault 43: the rest of a flood stays unread, "+name, func(t *testing.T) {
			var sent atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", name)
				for err := error(nil); err == nil && sent.Load() < 200<<20; {
					var n int
					n, err = w.Write(chunk)
					sent.Add(int64(n))
				}
			}))
			client := orga.NewClient(orgatest.Key, orga.WithBaseURL(server.URL))
			_, err := client.MintToken(t.Context())
			server.Close() // waits for the handler
			if !errors.Is(err, orga.ErrMalformed) || sent.Load() > 32<<20 {
				t.Errorf("%v; the server could send %d bytes", err, sent.Load())
			}
		})
	}
}

// A connection is reused, even after errors and chunked answers.
func TestConnectionReuse(t *testing.T) {
	api := orgatest.New(t)
	client := api.NewClient()
	chunked := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, part := range []string{`{"ephemeral`, `_token":"t"`, `}`} {
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
		}
	})
	api.Fail(orga.CallMint, orgatest.Status(500, "broken"), chunked, orgatest.HTML(), orgatest.Status(204, ""), orgatest.Redirect("/"))
	for range 8 {
		_, _ = client.SessionConfig(t.Context())
	}
	if got := api.Connections(); got != 1 {
		t.Errorf("%d connections", got)
	}
}

// Each failure has its kind.
func TestKinds(t *testing.T) {
	ours := []error{orga.ErrAuthentication, orga.ErrRateLimited, orga.ErrServer, orga.ErrRequest, orga.ErrUserEmail,
		orga.ErrConfig, orga.ErrMalformed, orga.ErrTimeout, orga.ErrConnection, context.Canceled}
	for name, row := range map[string]struct {
		fault  http.Handler
		kind   error
		status int
	}{
		"400":             {orgatest.Status(400, ""), orga.ErrRequest, 400},
		"401":             {orgatest.Status(401, ""), orga.ErrAuthentication, 401},
		"403":             {orgatest.Status(403, ""), orga.ErrAuthentication, 403},
		"404":             {orgatest.Status(404, ""), orga.ErrRequest, 404},
		"404 email":       {orgatest.Status(404, `{"error":{"type":"not_found_error","code":"user_not_found"}}`), orga.ErrUserEmail, 404},
		"400 not found":   {orgatest.Status(400, `{"error":{"type":"not_found_error"}}`), orga.ErrRequest, 400},
		"422":             {orgatest.Status(422, ""), orga.ErrRequest, 422},
		"499":             {orgatest.Status(499, ""), orga.ErrRequest, 499},
		"300":             {orgatest.Status(300, ""), orga.ErrRequest, 300},
		"399":             {orgatest.Status(399, ""), orga.ErrRequest, 399},
		"429":             {orgatest.Status(429, ""), orga.ErrRateLimited, 429},
		"500":             {orgatest.Status(500, ""), orga.ErrServer, 500},
		"503":             {orgatest.Status(503, ""), orga.ErrServer, 503},
		"599":             {orgatest.Status(599, ""), orga.ErrServer, 599},
		"304":             {orgatest.Status(304, ""), orga.ErrRequest, 304},
		"307 nowhere":     {orgatest.Status(307, ""), orga.ErrRequest, 307},
		"302 unparseable": {orgatest.Status(302, "", "Location", "http://[::1"), orga.ErrRequest, 302},
		"101":             {orgatest.Upgrade(), orga.ErrRequest, 101},
		"closed":          {orgatest.Close(), orga.ErrConnection, 0},
		"reset":           {orgatest.Reset(), orga.ErrConnection, 0},
		"cut off":         {orgatest.Truncate(), orga.ErrConnection, 200},
		"cut off behind":  {cutOff(`{"ephemeral_token":"t"}`), orga.ErrConnection, 200},
		"gzip cut off":    {cutOff("\x1f\x8b\x08"), orga.ErrConnection, 200},
		"no HTTP":         {orgatest.Babble(), orga.ErrConnection, 0},
		"silent":          {orgatest.Hang(), orga.ErrTimeout, 0},
		"silent halfway":  {orgatest.HangBody(), orga.ErrTimeout, 200},
	} {
		t.Run(name, func(t *testing.T) {
			api := orgatest.New(t)
			api.FailAll(orga.CallMint, row.fault)
			ctx := t.Context()
			if errors.Is(row.kind, orga.ErrTimeout) {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			_, err := api.NewClient().MintToken(ctx)
			e, ok := errors.AsType[*orga.Error](err)
			if !ok || e.Status != row.status {
				t.Fatalf("%v", err)
			}
			for _, kind := range ours {
				if errors.Is(err, kind) != errors.Is(row.kind, kind) {
					t.Errorf("%v: Is(%v) = %v", err, kind, errors.Is(err, kind))
				}
			}
			if redirects := row.status/100 == 3; redirects != strings.Contains(err.Error(), "redirects") {
				t.Error(err)
			}
			if later := []error{orga.ErrRateLimited, orga.ErrServer, orga.ErrConnection, orga.ErrTimeout}; e.Retryable() != slices.Contains(later, row.kind) {
				t.Errorf("%v: Retryable() = %v", err, e.Retryable())
			}
		})
	}
	t.Run("refused connection", func(t *testing.T) {
		_, err := orga.NewClient(orgatest.Key, orga.WithBaseURL("http://127.0.0.1:1")).MintToken(t.Context())
		if op, ok := errors.AsType[*net.OpError](err); !errors.Is(err, orga.ErrConnection) || !ok || op.Op != "dial" {
			t.Error(err)
		}
	})
	t.Run("untrusted certificate", func(t *testing.T) {
		api := orgatest.NewTLS(t)
		_, err := api.NewClient(orga.WithTransport(&http.Transport{})).MintToken(t.Context())
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || !errors.Is(err, orga.ErrConnection) {
			t.Error(err)
		}
	})
}

// cutOff answers 200 with valid JSON that is shorter than announced.
func cutOff(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
		if strings.HasPrefix(body, "\x1f") {
			w.Header().Set("Content-Encoding", "gzip")
		}
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// An error describes the network failure, and nothing more.
func TestConnectionErrors(t *testing.T) {
	for text, fault := range map[string]http.Handler{
		"orga mint: connection failed: closed before the complete answer arrived":              orgatest.Close(),
		"orga mint: connection failed (status 200): closed before the complete answer arrived": orgatest.Truncate(),
		"orga mint: connection failed: the answer is unreadable, or ended early":               orgatest.Babble(),
	} {
		api := orgatest.New(t)
		api.FailAll(orga.CallMint, fault)
		var log bytes.Buffer
		client := api.NewClient(orga.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		_, err := client.MintToken(t.Context())
		if err == nil || err.Error() != text || errors.Is(err, io.ErrUnexpectedEOF) != strings.Contains(text, "closed") {
			t.Errorf("%v; want %s", err, text)
		}
		if e, _ := errors.AsType[*orga.Error](err); !strings.Contains(log.String(), fmt.Sprintf(`"status":%d,`, e.Status)) || e.Status == 0 && !strings.Contains(log.String(), `"bytes":0,`) {
			t.Errorf("%s: %s", text, log.String())
		}
	}
}

// For the ICE call, a 404 is not about an email, and a 401 is about the token.
func TestICEKinds(t *testing.T) {
	api := orgatest.New(t)
	api.Fail(orga.CallICE, orgatest.Status(404, `{"error":{"type":"not_found_error"}}`), orgatest.Status(401, ""))
	for _, want := range []string{
		"orga ice: request rejected (status 404, code not_found_error)",
		"orga ice: credential rejected (status 401): the new token, not the API key", // fault 84
	} {
		if _, err := api.NewClient().SessionConfig(t.Context()); err == nil || err.Error() != want {
			t.Errorf("%v; want %s", err, want)
		}
	}
	api.Fail(orga.CallMint, orgatest.Status(401, ""))
	if _, err := api.NewClient().SessionConfig(t.Context()); err == nil || err.Error() != "orga mint: credential rejected (status 401): the API key" {
		t.Error(err)
	}
	api.Fail(orga.CallICE, orgatest.Status(200, `{"x":1}`))
	if _, err := api.NewClient().SessionConfig(t.Context()); err == nil || err.Error() != "orga ice: unusable answer (status 200): it has no list of ICE servers" {
		t.Error(err)
	}
}

// Invalid credentials are neither sent nor quoted.
func TestUnsendable(t *testing.T) {
	for name, row := range map[string]struct{ base, key string }{
		"no scheme":         {"api.example", orgatest.Key},
		"another scheme":    {"ftp://user:pass@api.example", orgatest.Key},
		"no host":           {"https://", orgatest.Key},
		"does not parse":    {"https://user:pass@[::1", orgatest.Key},
		"control character": {"https://user:pass@a\x7f", orgatest.Key},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := orga.NewClient(row.key, orga.WithBaseURL(row.base)).MintToken(t.Context())
			if !errors.Is(err, orga.ErrConfig) || strings.Contains(err.Error(), "pass") || strings.Contains(err.Error(), "sk_orga") {
				t.Error(err)
			}
		})
	}
}

// A misconfigured client sends nothing, and its error describes the fault.
func TestConfig(t *testing.T) {
	api := orgatest.New(t)
	for name, row := range map[string]struct{ key, token, want string }{
		"no key":             {"", "", "orga mint: client misconfigured: the API key is empty"},
		"key with a break":   {orgatest.Key + "\r\nX: 1", "", "orga mint: client misconfigured: the API key contains a character that a header cannot have"},
		"no token":           {orgatest.Key, "", "orga ice: client misconfigured: the token is empty, or contains a character that a header cannot have"},
		"token with a break": {orgatest.Key, "t\n", "orga ice: client misconfigured: the token is empty, or contains a character that a header cannot have"},
	} {
		client := orga.NewClient(row.key, orga.WithBaseURL(api.URL))
		var err error
		if strings.HasPrefix(row.want, "orga mint") {
			_, err = client.MintToken(t.Context())
		} else {
			_, err = client.ICEServers(t.Context(), orga.NewEphemeralToken(row.token, time.Time{}))
		}
		if e, ok := errors.AsType[*orga.Error](err); !ok || !errors.Is(err, orga.ErrConfig) || e.Retryable() || err.Error() != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := orga.NewClient("", orga.WithBaseURL(api.URL)).ICEServers(t.Context(), orga.NewEphemeralToken("t", time.Time{})); !errors.Is(err, orga.ErrAuthentication) {
		t.Errorf("a client without a key cannot ask for ICE servers: %v", err)
	}
	if mints, ice := api.Calls(orga.CallMint), api.Calls(orga.CallICE); mints != 0 || ice != 1 {
		t.Errorf("%d mints, %d ICE calls", mints, ice)
	}
}

// Empty options change nothing, so that unset settings can be passed on.
func TestEmptyOptions(t *testing.T) {
	spy := &spy{}
	defer func(before http.RoundTripper) { http.DefaultTransport = before }(http.DefaultTransport)
	http.DefaultTransport = spy
	_, _ = orga.NewClient(orgatest.Key, orga.WithBaseURL(""), orga.WithTransport(nil), orga.WithUserEmail(""), orga.WithLogger(nil)).MintToken(t.Context())
	if spy.asked != "https://api.orga-ai.com/v1/realtime/client-secrets" {
		t.Error(spy.asked)
	}
}

// spy is a transport that records its requests and fails.
type spy struct{ asked string }

func (s *spy) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = r.URL.String()
	return nil, io.EOF
}

// WithKey changes only the key; callers with different keys do not affect each other.
func TestWithKey(t *testing.T) {
	api := orgatest.Start(t, &orgatest.API{UserEmail: "a@b.example"}, false)
	base := api.NewClient(orga.WithUserEmail("a@b.example"))
	const other = orga.KeyPrefix + "other0000000000000000000000"
	api.AcceptKeys(orgatest.Key, other)
	var wg sync.WaitGroup
	for i := range 40 {
		key := []string{orgatest.Key, other, orga.KeyPrefix + "refused"}[i%3]
		wg.Go(func() {
			_, err := base.WithKey(key).SessionConfig(t.Context())
			if ok := key == orgatest.Key || key == other; ok != (err == nil) {
				t.Errorf("%s: %v", key, err)
			}
		})
	}
	wg.Wait()
	if _, err := base.SessionConfig(t.Context()); err != nil {
		t.Errorf("the first client has lost its key: %v", err)
	}
	if first := base.WithKey(other); first != base.WithKey(other) {
		t.Error("the client of the latest key was created again")
	}
}

// A transport that modifies its requests does not affect other calls.
func TestTransportModifiesRequest(t *testing.T) {
	api := orgatest.Start(t, &orgatest.API{Intercept: func(_ orga.Call, r *http.Request) http.Handler {
		if r.URL.RawQuery != "&x=y" || len(r.Header["Accept"]) != 1 {
			t.Errorf("%s, Accept: %q", r.URL.RawQuery, r.Header["Accept"])
		}
		return nil
	}}, false)
	client := api.NewClient(orga.WithTransport(writing{api.Client().Transport}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := client.SessionConfig(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

type writing struct{ next http.RoundTripper }

func (w writing) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.RawQuery += "&x=y"
	r.Header.Set("Accept", "text/html")
	r.Header.Add("Content-Type", "text/plain")
	r.Header.Del("Idempotency-Key")
	return w.next.RoundTrip(r)
}

// The body of every answer is closed, however the call ends.
func TestBodyIsClosed(t *testing.T) {
	for name, resp := range map[string]*http.Response{
		"good":      {StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"ephemeral_token":"t"}`)), ContentLength: -1},
		"malformed": {StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{`)), ContentLength: -1},
		"too large": {StatusCode: 200, Body: io.NopCloser(strings.NewReader(strings.Repeat(" ", 100<<10))), ContentLength: 100 << 10},
		"an error":  {StatusCode: 500, Body: io.NopCloser(strings.NewReader("broken")), ContentLength: 6},
		"101":       {StatusCode: 101, Body: io.NopCloser(strings.NewReader("")), ContentLength: -1},
	} {
		closed := false
		body := resp.Body
		resp.Body = struct {
			io.Reader
			io.Closer
		}{body, closer(func() { closed = true })}
		_, _ = orga.NewClient(orgatest.Key, orga.WithTransport(fixed{resp})).MintToken(t.Context())
		if !closed {
			t.Errorf("%s: the body stays open", name)
		}
	}
}

type closer func()

func (c closer) Close() error {
	c()
	return nil
}

type fixed struct{ resp *http.Response }

func (f fixed) RoundTrip(*http.Request) (*http.Response, error) { return f.resp, nil }

// A token and an error have Orga's own ID of the call, if it is safe to print.
func TestRequestID(t *testing.T) {
	const key = orga.KeyPrefix + "test" // short, so that an id has room for it
	for id, want := range map[string]string{
		"req_01.A-z":                    "req_01.A-z",
		strings.Repeat("x", 128):        strings.Repeat("x", 128),
		strings.Repeat("x", 129):        "",
		"":                              "",
		"a b":                           "",
		"a<b":                           "",
		"é":                             "",
		key:                             "",
		"for-" + key + "-only":          "",
		"orga_ai_t":                     "", // a piece of it
		hex.EncodeToString([]byte(key)): "",
		"x" + base64.RawURLEncoding.EncodeToString([]byte("y"+key)): "",
	} {
		api := orgatest.New(t)
		api.Fail(orga.CallMint, orgatest.Status(200, `{"ephemeral_token":"t"}`, "X-Request-Id", id), orgatest.Status(500, "", "X-Request-Id", id), orgatest.Status(200, "{}", "X-Request-Id", id))
		client := api.NewClient().WithKey(key)
		token, err := client.MintToken(t.Context())
		if err != nil || token.RequestID != want {
			t.Errorf("%s: %q, %v", id, token.RequestID, err)
		}
		for range 2 {
			_, err = client.MintToken(t.Context())
			if e, ok := errors.AsType[*orga.Error](err); !ok || e.RequestID != want {
				t.Errorf("%s: %v", id, err)
			}
		}
		api.Fail(orga.CallICE, orgatest.Status(500, "", "X-Request-Id", id))
		_, err = client.ICEServers(t.Context(), orga.NewEphemeralToken("0000", time.Time{}))
		if e, ok := errors.AsType[*orga.Error](err); !ok || e.RequestID != want {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Orga's own code is logged if it has the form of a code and is not part of the key or the token.
func TestErrorCode(t *testing.T) {
	const words = "word_key_of_mine" // looks like a code
	for _, row := range []struct{ key, body, want string }{
		{orgatest.Key, orgatest.ErrorBody("invalid_api_key", "sk_orga_ai_… is wrong"), "invalid_api_key"},
		{orgatest.Key, `{"error":{"message":{"a":1},"type":"server_error","code":null}}`, "server_error"},
		{orgatest.Key, `{"error":{"code":404,"type":"NotFoundError"}}`, "NotFoundError"},
		{orgatest.Key, `{"error":{"code":"` + orgatest.Key + `","type":"server_error"}}`, "server_error"},
		{orgatest.Key, `{"error":{"code":"` + orgatest.Key[:20] + `"}}`, ""},
		{orgatest.Key, `{"error":{"code":"test0000"}}`, ""},                                  // a piece of the key
		{"another", `{"error":{"code":"` + orga.KeyPrefix + `abc"}}`, ""},                    // somebody's key
		{words, `{"error":{"code":"` + words + `"}}`, ""},                                    // the key
		{words, `{"error":{"code":"key_of"}}`, ""},                                           // a piece of it
		{words, `{"error":{"code":"no_` + words + `_here","type":"e"}}`, ""},                 // the key, and a piece of it
		{words, `{"error":{"code":"` + strings.ReplaceAll(words, "_", `\u005f`) + `"}}`, ""}, // escaped
		{"words", `{"error":{"code":"` + words + `"}}`, words},
		{orgatest.Key, `{"error":{"code":"see https://example"}}`, ""},
		{orgatest.Key, `{"error":{"code":"` + strings.Repeat("x", 33) + `"}}`, ""},
		{orgatest.Key, `{"error":{"code":"` + strings.Repeat("x", 32) + `_y123456"}}`, strings.Repeat("x", 32) + "_y123456"},
		{orgatest.Key, `{"error":{"code":"y1234567"}}`, ""},
		{orgatest.Key, `{"error":{"code":"1234"}}`, ""},
		{orgatest.Key, `{"error":{"code":"q.w-e_r.t.z"}}`, "q.w-e_r.t.z"},
		{orgatest.Key, `{"error":{"code":"q.w.e.r.t.z.u"}}`, ""},
		{orgatest.Key, `{"error":{"code":"q__w"}}`, ""},
		{orgatest.Key, `{"error":{"code":"_q"}}`, ""},
		{orgatest.Key, `{"error":{"code":"ö"}}`, ""},
		{orgatest.Key, `{"error":{"code":"_"}}`, ""},
		{orgatest.Key, `{"error":"some_code"}`, ""},
		{orgatest.Key, `{"warning":{"code":"some_code"}}`, ""},
		{orgatest.Key, `{"detail":"some_code"}`, ""},
		{orgatest.Key, `{"error":{"code":"some_code"`, ""},
		{orgatest.Key, `<html>`, ""},
		{orgatest.Key, ``, ""},
	} {
		api := orgatest.New(t)
		api.Fail(orga.CallMint, orgatest.Status(400, row.body))
		_, err := api.NewClient().WithKey(row.key).MintToken(t.Context())
		if e, ok := errors.AsType[*orga.Error](err); !ok || e.Code != row.want {
			t.Errorf("%s: code %q, want %q", row.body, e.Code, row.want)
		}
		// The ICE call has two secrets: the token and the client's key.
		for _, secrets := range [][2]string{{"", row.key}, {row.key, "0"}} {
			api.FailAll(orga.CallICE, orgatest.Status(400, row.body))
			_, err = api.NewClient().WithKey(secrets[0]).ICEServers(t.Context(), orga.NewEphemeralToken(secrets[1], time.Time{}))
			e, ok := errors.AsType[*orga.Error](err)
			if !ok || e.Code != row.want {
				t.Errorf("%s: ICE code %q, want %q", row.body, e.Code, row.want)
			}
		}
	}
}

// fault 41: Retry-After, capped at a day.
func TestRetryAfter(t *testing.T) {
	for header, want := range map[string][2]time.Duration{
		"":     {0, 0},
		"7":    {7 * time.Second, 7 * time.Second},
		" 7 ":  {7 * time.Second, 7 * time.Second},
		"10":   {10 * time.Second, 10 * time.Second},
		"0":    {time.Second, time.Second},
		"-1":   {0, 0},
		"1.5":  {0, 0},
		"soon": {0, 0},
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat):  {59 * time.Minute, time.Hour},
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): {time.Second, time.Second},
		"86400":                         {24 * time.Hour, 24 * time.Hour},
		"86401":                         {24 * time.Hour, 24 * time.Hour},
		"9223372036854775807":           {24 * time.Hour, 24 * time.Hour},
		"18446744073709551615":          {24 * time.Hour, 24 * time.Hour},
		"99999999999999999999":          {24 * time.Hour, 24 * time.Hour},
		"Mon, 99 Jan 2026 00:00:00":     {0, 0},
		"Fri, 31 Dec 9999 23:59:59 GMT": {24 * time.Hour, 24 * time.Hour},
	} {
		api := orgatest.New(t)
		for _, status := range []int{429, 500, 502, 503} {
			api.Fail(orga.CallICE, orgatest.Status(status, "", "Retry-After", header))
			_, err := api.NewClient().ICEServers(t.Context(), orga.NewEphemeralToken("t", time.Time{}))
			e, ok := errors.AsType[*orga.Error](err)
			if !ok || e.RetryAfter < want[0] || e.RetryAfter > want[1] {
				t.Errorf("%d %q: %v, want %v", status, header, e.RetryAfter, want)
			}
		}
	}
}

// fault 42: the key goes to no other host.
func TestRedirect(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for name, transport := range map[string]http.RoundTripper{"default": nil, "own": &http.Transport{}} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				api := orgatest.New(t)
				api.FailAll(orga.CallMint, orgatest.Status(status, "", "Location", other.URL))
				api.FailAll(orga.CallICE, orgatest.Status(status, "", "Location", other.URL))
				c := orga.NewClient(orgatest.Key, orga.WithBaseURL(api.URL), orga.WithTransport(transport))
				if _, err := c.MintToken(t.Context()); !errors.Is(err, orga.ErrRequest) || !strings.Contains(err.Error(), "redirect") {
					t.Error(err)
				}
				if _, err := c.ICEServers(t.Context(), orga.NewEphemeralToken("t", time.Time{})); !errors.Is(err, orga.ErrRequest) {
					t.Error(err)
				}
			})
		}
	}
	if got := elsewhere.Load(); got != 0 {
		t.Errorf("%d calls went where a redirect led", got)
	}
}

// faults 17, 45: wherever the API repeats a credential, no error or log line contains it, raw or encoded.
func TestNothingSecretInErrors(t *testing.T) {
	faults := map[string]http.Handler{
		"no HTTP": orgatest.Babble(), "cut off": orgatest.Truncate(), "reset": orgatest.Reset(), "silent": orgatest.Hang(),
		"HTML": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(502)
			_, _ = io.WriteString(w, "<h1>"+r.Header.Get("Authorization")+"</h1>")
		}),
		"encoded": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := []byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			w.WriteHeader(400)
			_, _ = fmt.Fprintf(w, `{"error":{"code":%q,"type":%q}}`, base64.StdEncoding.EncodeToString(key), hex.EncodeToString(key))
		}),
	}
	for _, status := range []int{200, 302, 400, 401, 403, 429, 500, 503} {
		faults[fmt.Sprint(status)] = orgatest.Repeat(status)
	}
	const email = "someone@mail.example"
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			api := orgatest.New(t)
			api.FailAll(orga.CallMint, fault)
			api.FailAll(orga.CallICE, fault)
			var log bytes.Buffer
			client := api.NewClient(orga.WithUserEmail(email),
				orga.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			token := "ephemeral" + strings.Repeat("t", 30)
			within := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				t.Cleanup(cancel)
				return ctx
			}
			_, mintErr := client.MintToken(within())
			_, iceErr := client.ICEServers(within(), orga.NewEphemeralToken(token, time.Time{}))
			for _, err := range []error{mintErr, iceErr} {
				if err == nil {
					t.Fatal("no error")
				}
				all := log.String() + tree(err)
				for _, secret := range []string{orgatest.Key, token, email} {
					for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)), strings.Replace(secret, "@", "%40", 1)} {
						if strings.Contains(all, form) {
							t.Errorf("%s has a secret in it", all)
						}
					}
				}
			}
		})
	}
}

// tree prints an error and all wrapped errors, with every verb.
func tree(err error) string {
	s := fmt.Sprintf("%v\n%+v\n%#v\n%q\n", err, err, err, err)
	if inner := errors.Unwrap(err); inner != nil {
		s += tree(inner)
	}
	if all, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		for _, inner := range all.Unwrap() {
			s += tree(inner)
		}
	}
	return s
}

// A call ends with its context, or after 10 s without a deadline, and reports which.
func TestTime(t *testing.T) {
	for name, row := range map[string]struct {
		deadline, cancel time.Duration // 0: none
		is               error
		after            time.Duration
	}{
		"no deadline":                 {is: orga.ErrTimeout, after: 10 * time.Second},
		"a deadline":                  {deadline: time.Second, is: context.DeadlineExceeded, after: time.Second},
		"a deadline is a timeout too": {deadline: time.Second, is: orga.ErrTimeout, after: time.Second},
		"a distant deadline":          {deadline: time.Minute, is: context.DeadlineExceeded, after: time.Minute},
		"cancelled":                   {cancel: time.Second, is: context.Canceled, after: time.Second},
	} {
		for part, fault := range map[string]http.Handler{"silent": orgatest.Hang(), "silent halfway": orgatest.HangBody()} {
			t.Run(name+", "+part, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					api := new(orgatest.API)
					api.FailAll(orga.CallMint, fault)
					client := orga.NewClient(orgatest.Key, orga.WithTransport(orgatest.Pipe(t, api)))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if row.deadline > 0 {
						ctx, cancel = context.WithTimeoutCause(ctx, row.deadline, errors.New("a cause of the caller's"))
						defer cancel()
					}
					if row.cancel > 0 {
						time.AfterFunc(row.cancel, cancel)
					}
					start := time.Now()
					_, err := client.MintToken(ctx)
					if !errors.Is(err, row.is) || time.Since(start) != row.after {
						t.Errorf("after %v: %v", time.Since(start), err)
					}
					if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
						t.Errorf("%v is not the context's %v", err, ctx.Err())
					}
					if errors.Is(err, context.Canceled) == errors.Is(err, orga.ErrTimeout) {
						t.Errorf("%v is both, or neither", err)
					}
				})
			})
		}
	}
	t.Run("a transport's timeout", func(t *testing.T) {
		api := orgatest.New(t)
		api.FailAll(orga.CallMint, orgatest.Hang())
		if _, err := api.NewClient(orga.WithTransport(&http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond})).MintToken(t.Context()); !errors.Is(err, orga.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || err.Error() != "orga mint: timed out: context deadline exceeded" {
			t.Error(err)
		}
	})
}

// fault 37: a POST on a dead kept-alive connection is silently resent on another.
func TestDeadConnection(t *testing.T) {
	for name, fault := range map[string]http.Handler{"closed": orgatest.Close(), "reset": orgatest.Reset()} {
		t.Run(name, func(t *testing.T) {
			api := orgatest.New(t)
			client := api.NewClient()
			api.Fail(orga.CallMint, nil, fault, nil, fault)
			for range 2 {
				if _, err := client.MintToken(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if got := api.Calls(orga.CallMint); got != 3 {
				t.Errorf("%d calls for 2 mints", got)
			}
		})
	}
}

// The requests on the wire.
func TestRequests(t *testing.T) {
	var seen []string
	api := &orgatest.API{Intercept: func(_ orga.Call, r *http.Request) http.Handler {
		_, idempotency := r.Header["Idempotency-Key"]
		seen = append(seen, fmt.Sprintln(r.Method, r.RequestURI, r.Header.Get("Content-Type"), r.ContentLength, idempotency, r.Header.Get("Cookie")))
		return nil
	}}
	server := orgatest.Start(t, api, false)
	for _, row := range []struct{ base, email, want string }{
		{server.URL, "", "POST /v1/realtime/client-secrets application/json 0 false \n"},
		{server.URL + "/", "", "POST /v1/realtime/client-secrets application/json 0 false \n"},
		{server.URL + "?a=b#c", "", "POST /v1/realtime/client-secrets application/json 0 false \n"},
		{server.URL, "a+b@mail.example", "POST /v1/realtime/client-secrets?email=a%2Bb%40mail.example application/json 0 false \n"},
	} {
		seen = nil
		config, err := orga.NewClient(orgatest.Key, orga.WithBaseURL(row.base), orga.WithUserEmail(row.email)).SessionConfig(t.Context())
		if err != nil || len(config.ICEServers) != 2 {
			t.Fatal(err)
		}
		if want := row.want + "GET /v1/realtime/ice-config  0 false \n"; strings.Join(seen, "") != want {
			t.Errorf("%s:\n got %swant %s", row.base, strings.Join(seen, ""), want)
		}
	}
}

// Each call logs one debug line with its duration and outcome, and nothing at other levels.
func TestDebug(t *testing.T) {
	api := orgatest.New(t)
	api.Fail(orga.CallMint, nil, orgatest.Status(200, `{}`), orgatest.Status(503, orgatest.ErrorBody("busy", "")))
	for level, want := range map[slog.Level]int{slog.LevelDebug: 4, slog.LevelInfo: 0} {
		var log bytes.Buffer
		client := api.NewClient(orga.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))))
		var answers string
		if level == slog.LevelDebug {
			for range 3 {
				config, _ := client.SessionConfig(t.Context())
				answers += config.Token.Reveal()
			}
		} else {
			_, _ = client.SessionConfig(t.Context())
		}
		if got := strings.Count(log.String(), "\n"); got != want {
			t.Errorf("%v: %d lines:\n%s", level, got, log.String())
		}
		if level == slog.LevelDebug {
			for _, has := range []string{`"call":"mint"`, `"call":"ice"`, `"status":503`, `"status":200`, `"bytes":2,`, "code busy", "it has no token"} {
				if !strings.Contains(log.String(), has) {
					t.Errorf("no %s in\n%s", has, log.String())
				}
			}
			if n := len(regexp.MustCompile(`"took_ms":\d{1,4}(\.\d+)?[,}]`).FindAllString(log.String(), -1)); n != want {
				t.Errorf("%d lines have a duration of less than 10 s in\n%s", n, log.String())
			}
			if strings.Contains(log.String(), answers) {
				t.Error("a token is in the log")
			}
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
