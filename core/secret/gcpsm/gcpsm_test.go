package gcpsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

const name = "projects/orga-test/secrets/api-key"

// environment returns an environment with one variable.
func environment(name, value string) func(string) (string, bool) {
	return func(n string) (string, bool) {
		if n != name {
			return "", false
		}
		return value, true
	}
}

// at opens the secret (or a version) at an endpoint address.
func at(t testing.TB, address, name string) secret.Source {
	t.Helper()
	lookup := environment("ORGA_GCPSM_ENDPOINT", address)
	src, err := gcpsm.Open(lookup)(secret.Ref{Scheme: "gcpsm", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func serve(t *testing.T, fake http.Handler) string {
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	return srv.URL
}

type store struct {
	google *secrettest.Google
	open   func() secret.Source
}

func (s store) Source() secret.Source            { return s.open() }
func (s store) Put(_ testing.TB, content string) { s.google.Put(name, []byte(content)) }
func (s store) Delete(testing.TB)                { s.google.Delete(name) }

func TestConformance(t *testing.T) {
	secrettest.Conformance(t, func(t *testing.T) secrettest.Store {
		fake := &secrettest.Google{}
		address := serve(t, fake)
		return store{fake, func() secret.Source { return at(t, address, name) }}
	})
}

func TestVersions(t *testing.T) {
	fake := &secrettest.Google{}
	address := serve(t, fake)
	fake.Put(name, []byte("first"))
	fake.Put(name, []byte("second"))
	for _, tt := range []struct{ name, content, version string }{
		{name, "second", "2"},
		{name + "/versions/latest", "second", "2"},
		{name + "/versions/1", "first", "1"},
	} {
		got, err := at(t, address, tt.name).Fetch(t.Context())
		if err != nil || got.Value.Reveal() != tt.content || string(got.Version) != tt.version {
			t.Errorf("%s: version %s; %v", tt.name, got.Version, err)
		}
	}
	fake.Put(name, []byte{0xff, 0xfe, 0x00})
	if _, err := at(t, address, name).Fetch(t.Context()); !errors.Is(err, secret.ErrMalformed) {
		t.Errorf("fault 13: a binary secret that is not UTF-8: the error is %v", err)
	}
	fake.Disable(name)
	if _, err := at(t, address, name).Fetch(t.Context()); !errors.Is(err, secret.ErrPermanent) {
		t.Errorf("fault 6: disabled: the error is %v", err)
	}
}

func TestAttempts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault secrettest.Fault
		times int
		calls int
		ok    bool
	}{
		{"healthy", secrettest.Healthy, 0, 1, true},
		{"one 500 is mended by the next attempt", secrettest.Down, 1, 2, true},
		{"a store that is down is asked three times", secrettest.Down, 0, 3, false},
		{"as is one that throttles", secrettest.Throttling, 0, 3, false},
		{"a refusal is final", secrettest.Denied, 0, 1, false},
		{"fault 14: the checksum differs once", secrettest.Damaged, 1, 2, true},
		{"fault 14: the checksum differs always", secrettest.Damaged, 0, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fake := &secrettest.Google{}
			fake.Put(name, []byte("content"))
			fake.Fail(tt.fault, tt.times)
			start := time.Now()
			_, err := at(t, serve(t, fake), name).Fetch(t.Context())
			if ok := err == nil; ok != tt.ok || fake.Calls() != tt.calls {
				t.Errorf("%d calls, %v", fake.Calls(), err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %v of the two seconds", took)
			}
		})
	}
}

// Fault 14: a damaged answer is fetched once more, whatever else failed.
func TestDamagedAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults []secrettest.Fault // of one call each
		calls  int
		ok     bool
	}{
		{"down, then damaged once", []secrettest.Fault{secrettest.Down, secrettest.Damaged}, 3, true},
		{"damaged once, then down", []secrettest.Fault{secrettest.Damaged, secrettest.Down}, 3, true},
		{"down, then damaged twice", []secrettest.Fault{secrettest.Down, secrettest.Damaged, secrettest.Damaged}, 3, false},
		{"damaged twice", []secrettest.Fault{secrettest.Damaged, secrettest.Damaged}, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fake := &secrettest.Google{}
			fake.Put(name, []byte("content"))
			left := tt.faults
			_, err := at(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if len(left) > 0 {
					fake.Fail(left[0], 1)
					left = left[1:]
				}
				fake.ServeHTTP(w, r)
			})), name).Fetch(t.Context())
			if ok := err == nil; ok != tt.ok || fake.Calls() != tt.calls {
				t.Errorf("%d calls, %v", fake.Calls(), err)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	const key = "sk_orga_ai_test_canary_of_gcpsm"
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	said := func(status int, name string) http.HandlerFunc {
		return answer(status, fmt.Sprintf(`{"error":{"code":%d,"status":%q,"message":"the key is %s"}}`, status, name, key))
	}
	for _, tt := range []struct {
		name  string
		store http.Handler
		kind  error // nil for an outage
		says  string
	}{
		{"fault 1: 500", said(500, "INTERNAL"), nil, "HTTP 500 INTERNAL"},
		{"throttled", said(429, "RESOURCE_EXHAUSTED"), nil, "RESOURCE_EXHAUSTED"},
		{"fault 6: denied", said(403, "PERMISSION_DENIED"), secret.ErrPermanent, "PERMISSION_DENIED"},
		{"fault 6: not found", said(404, "NOT_FOUND"), secret.ErrPermanent, "NOT_FOUND"},
		{"fault 6: disabled or destroyed", said(400, "FAILED_PRECONDITION"), secret.ErrPermanent, "FAILED_PRECONDITION"},
		{"a token that just expired", said(401, "UNAUTHENTICATED"), nil, "UNAUTHENTICATED"},
		{"a status that repeats the key", said(403, key), secret.ErrPermanent, "HTTP 403"},
		{"a proxy's page", answer(502, "<html>"+key), nil, "HTTP 502"},
		{"a redirect", http.RedirectHandler("http://127.0.0.1:1/"+key, 302), nil, "HTTP 302"},
		{"half of an answer", answer(200, `{"name":"x","payload":{"data":"`+key), nil, "does not parse"},
		{"an answer that is not base64", answer(200, `{"name":"x","payload":{"data":"`+key+`"}}`), nil, "does not parse"},
		{"an answer without a payload", answer(200, `{"name":"x/versions/1"}`), nil, "does not parse"},
		{"an answer without a name", answer(200, `{"payload":{"data":"eA=="}}`), nil, "does not parse"},
		{"an answer without an end", http.HandlerFunc(endless), secret.ErrMalformed, "larger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := at(t, serve(t, tt.store), name).Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("the error is %v", err)
			}
			for _, kind := range []error{secret.ErrPermanent, secret.ErrMalformed, secret.ErrMisconfigured} {
				if errors.Is(err, kind) != errors.Is(tt.kind, kind) {
					t.Errorf("the error is %v", err)
				}
			}
			for _, verb := range []string{"%v", "%+v", "%#v"} {
				if how := secrettest.Leak(fmt.Sprintf(verb, err), key); how != "" {
					t.Errorf("fault 17: the error holds the key in %s", how)
				}
			}
		})
	}
}

// endless answers with an endless secret.
func endless(w http.ResponseWriter, _ *http.Request) {
	_, err := io.WriteString(w, `{"payload":{"data":"`)
	for err == nil {
		_, err = w.Write(bytes.Repeat([]byte("x"), 64<<10))
	}
}

func TestUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	self := httptest.NewUnstartedServer(http.NotFoundHandler())
	self.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of the handshake that is to fail
	self.StartTLS()
	defer self.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"granted"}`)
	})), "http://"))
	for _, tt := range []struct {
		name, address, says string
		budget              time.Duration
	}{
		{"fault 3: the store hangs", "http://" + silent.Addr().String(), "did not answer in time", 300 * time.Millisecond},
		{"nobody listens", "http://127.0.0.1:1", " refused", 10 * time.Second}, // "actively refused it" on Windows
		{"somebody else's certificate", self.URL, "certificate is not trusted", 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.budget)
			defer cancel()
			_, err := at(t, tt.address, name).Fetch(ctx)
			if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, secret.ErrPermanent) {
				t.Errorf("the error is %v", err)
			}
			if late := context.Cause(ctx) != nil; late != (tt.budget < time.Second) {
				t.Errorf("it took the whole budget: %t", late)
			}
		})
	}
}

func ExampleOpen() {
	fake := &secrettest.Google{} // a fake of Google
	fake.Put("projects/orga/secrets/api-key", []byte("sk_orga_ai_test\n"))
	srv := httptest.NewServer(fake)
	defer srv.Close()
	lookup := environment("ORGA_GCPSM_ENDPOINT", srv.URL)

	stores := map[string]secret.Driver{"gcpsm": gcpsm.Open(lookup)}
	src, err := secret.Open("gcpsm:projects/orga/secrets/api-key", stores, lookup, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := src.Fetch(context.Background())
	fmt.Println(key.Value, len(key.Value.Reveal()), key.Version, err)
	// Output: [redacted] 15 1 <nil>
}
