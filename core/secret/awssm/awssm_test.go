package awssm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// env is an environment; with returns a copy with changes, where "" removes a variable.
type env map[string]string

func (e env) lookup(name string) (string, bool) { v, ok := e[name]; return v, ok }

func (e env) with(more env) env {
	e = maps.Clone(e)
	maps.Copy(e, more)
	return e
}

var (
	ambient = env{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIATHEPLATFORM", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_SESSION_TOKEN": "token"}
	owner   = env{"ORGA_AWS_REGION": "eu-central-1", "ORGA_AWS_ACCESS_KEY_ID": "AKIATHEOWNER", "ORGA_AWS_SECRET_ACCESS_KEY": "not-a-secret"}
)

// serve starts a fake, and returns an environment with its address.
func serve(t *testing.T, fake http.Handler) env {
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	return env{"AWS_ENDPOINT_URL_SECRETS_MANAGER": srv.URL}
}

func open(t *testing.T, e env, name string) secret.Source {
	t.Helper()
	src, err := awssm.Open(e.lookup, true)(secret.Ref{Scheme: "awssm", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

type store struct {
	aws  *secrettest.AWS
	open func() secret.Source
}

func (s store) Source() secret.Source            { return s.open() }
func (s store) Put(_ testing.TB, content string) { s.aws.Put("orga/key", content) }
func (s store) Delete(testing.TB)                { s.aws.Delete("orga/key") }

func TestConformance(t *testing.T) {
	secrettest.Conformance(t, func(t *testing.T) secrettest.Store {
		fake := &secrettest.AWS{}
		e := ambient.with(serve(t, fake))
		return store{fake, func() secret.Source { return open(t, e, "orga/key") }}
	})
}

func TestCredentials(t *testing.T) {
	arn := (&secrettest.AWS{}).ARN("ap-southeast-2", "orga/key")
	for _, tt := range []struct {
		name    string
		env     env
		ambient bool
		secret  string
		key     string // that the store must see; "" where nothing is to be opened
		region  string
		fault   string // what the error names
	}{
		{name: "the platform's", env: ambient, ambient: true, secret: "orga/key", key: "AKIATHEPLATFORM", region: "eu-west-1"},
		{name: "the owner's", env: owner, ambient: false, secret: "orga/key", key: "AKIATHEOWNER", region: "eu-central-1"},
		{name: "the owner's win where both are there", env: ambient.with(owner), ambient: true, secret: "orga/key", key: "AKIATHEOWNER", region: "eu-central-1"},
		{name: "the owner's, temporary", env: owner.with(env{"ORGA_AWS_SESSION_TOKEN": "token"}), secret: "orga/key", key: "AKIATHEOWNER", region: "eu-central-1"},
		{name: "an ARN names another region", env: ambient, ambient: true, secret: arn, key: "AKIATHEPLATFORM", region: "ap-southeast-2"},
		{name: "an ARN and the owner's", env: owner, secret: arn, key: "AKIATHEOWNER", region: "ap-southeast-2"},
		{name: "an ARN needs no region", env: ambient.with(env{"AWS_REGION": ""}), ambient: true, secret: arn, key: "AKIATHEPLATFORM", region: "ap-southeast-2"},
		{name: "blanks and line breaks around", env: env{"ORGA_AWS_REGION": " eu-central-1\n", "ORGA_AWS_ACCESS_KEY_ID": "AKIATHEOWNER\r\n", "ORGA_AWS_SECRET_ACCESS_KEY": "not-a-secret\n"}, secret: "orga/key", key: "AKIATHEOWNER", region: "eu-central-1"},
		{name: "blank is not set", env: ambient.with(env{"ORGA_AWS_REGION": " ", "ORGA_AWS_SESSION_TOKEN": "\n", "AWS_ENDPOINT_URL": " "}), ambient: true, secret: "orga/key", key: "AKIATHEPLATFORM", region: "eu-west-1"},
		{name: "a region that is none", env: owner.with(env{"ORGA_AWS_REGION": "eu-central-1.evil.example/"}), secret: "orga/key", fault: "ORGA_AWS_REGION: want a region"},
		{name: "a region of the platform that is none", env: ambient.with(env{"AWS_REGION": "Frankfurt"}), ambient: true, secret: "orga/key", fault: "AWS_REGION: want a region"},
		{name: "an ARN of no region", env: owner, secret: "arn:aws:secretsmanager:evil.example/:123456789012:secret:orga", fault: "ARN"},
		{name: "fault 16: on Netlify without ORGA_AWS_*", env: ambient, secret: "orga/key", fault: "missing ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY, ORGA_AWS_REGION"},
		{name: "fault 16: on Netlify with an ARN", env: ambient, secret: arn, fault: "ORGA_AWS_ACCESS_KEY_ID"},
		{name: "the owner's region alone", env: ambient.with(env{"ORGA_AWS_REGION": "eu-central-1"}), ambient: true, secret: "orga/key", fault: "ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY"},
		{name: "the owner's session token alone", env: ambient.with(env{"ORGA_AWS_SESSION_TOKEN": "token"}), ambient: true, secret: "orga/key", fault: "ORGA_AWS_REGION"},
		{name: "the owner's without the secret", env: owner.with(env{"ORGA_AWS_SECRET_ACCESS_KEY": ""}), secret: "orga/key", fault: "missing ORGA_AWS_SECRET_ACCESS_KEY"},
		{name: "the owner's without the region", env: ambient.with(owner).with(env{"ORGA_AWS_REGION": ""}), ambient: true, secret: "orga/key", fault: "missing ORGA_AWS_REGION"},
		{name: "the platform has none in its environment", env: ambient.with(env{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}), ambient: true, secret: "orga/key", fault: "missing AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"},
		{name: "the platform's without a region", env: ambient.with(env{"AWS_REGION": ""}), ambient: true, secret: "orga/key", fault: "AWS_REGION"},
		{name: "an ARN of another service", env: ambient, ambient: true, secret: "arn:aws:ssm:eu-west-1:123456789012:parameter/orga", fault: "ARN"},
		{name: "half an ARN", env: ambient, ambient: true, secret: "arn:aws:secretsmanager:eu-west-1", fault: "ARN"},
		{name: "an address without a host", env: ambient.with(env{"AWS_ENDPOINT_URL_SECRETS_MANAGER": "https://:443"}), ambient: true, secret: "orga/key", fault: "AWS_ENDPOINT_URL_SECRETS_MANAGER"},
		{name: "an address that is none", env: ambient.with(env{"AWS_ENDPOINT_URL": "localhost:4566"}), ambient: true, secret: "orga/key", fault: "AWS_ENDPOINT_URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := &secrettest.AWS{AccessKeyID: tt.key, Region: tt.region}
			fake.Put("orga/key", "content")
			e := tt.env
			if tt.key != "" {
				e = e.with(serve(t, fake))
			}
			src, err := awssm.Open(e.lookup, tt.ambient)(secret.Ref{Scheme: "awssm", Name: tt.secret})
			if tt.fault != "" {
				if !errors.Is(err, secret.ErrMisconfigured) || !strings.Contains(err.Error(), tt.fault) {
					t.Fatalf("the error is %v; want ErrMisconfigured that names %s", err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := src.Fetch(t.Context()); err != nil || got.Value.Reveal() != "content" {
				t.Fatalf("Fetch: %v", err)
			}
		})
	}
}

// All faults of the settings are reported together.
func TestAllFaultsAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		env    env
		secret string
		says   []string
	}{
		{"the owner's", env{"ORGA_AWS_REGION": "EU", "AWS_ENDPOINT_URL": "x"}, "arn:x",
			[]string{"missing ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY", "ORGA_AWS_REGION: want a region", "ARN", "AWS_ENDPOINT_URL"}},
		{"the platform's", env{"AWS_ENDPOINT_URL": "x"}, "orga/key",
			[]string{"missing AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION", "AWS_ENDPOINT_URL"}},
	} {
		_, err := awssm.Open(tt.env.lookup, true)(secret.Ref{Scheme: "awssm", Name: tt.secret})
		for _, says := range tt.says {
			if !errors.Is(err, secret.ErrMisconfigured) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: the error is %v; want one that says %q", tt.name, err, says)
			}
		}
	}
}

func TestEndpointOfTheService(t *testing.T) {
	fake := &secrettest.AWS{}
	fake.Put("orga/key", "content")
	e := ambient.with(serve(t, fake))
	e["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1" // of all services: the service's own wins
	if _, err := open(t, e, "orga/key").Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	e["AWS_ENDPOINT_URL"], e["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = e["AWS_ENDPOINT_URL_SECRETS_MANAGER"], ""
	if _, err := open(t, e, "orga/key").Fetch(t.Context()); err != nil {
		t.Error(err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The SDK's own variables determine the host.
func TestEndpointVariables(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  env
		want string
	}{
		{"none", nil, "https://secretsmanager.eu-west-1.amazonaws.com/"},
		{"all false", env{"AWS_USE_FIPS_ENDPOINT": "false", "AWS_USE_DUALSTACK_ENDPOINT": "False", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"}, "https://secretsmanager.eu-west-1.amazonaws.com/"},
		{"FIPS", env{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://secretsmanager-fips.eu-west-1.amazonaws.com/"},
		{"dual stack, where the standard host has it", env{"AWS_USE_DUALSTACK_ENDPOINT": "TRUE"}, "https://secretsmanager.eu-west-1.amazonaws.com/"},
		{"dual stack, where it has its own host", env{"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_REGION": "eusc-de-east-1"}, "https://secretsmanager.eusc-de-east-1.api.amazonwebservices.eu/"},
		{"configured", env{"AWS_ENDPOINT_URL": "http://localhost:4566"}, "http://localhost:4566/"},
		{"configured and ignored", env{"AWS_ENDPOINT_URL": "http://localhost:4566", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "https://secretsmanager.eu-west-1.amazonaws.com/"},
		{"the service's own, ignored", env{"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://localhost:4566", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_USE_FIPS_ENDPOINT": "true"}, "https://secretsmanager-fips.eu-west-1.amazonaws.com/"},
	} {
		var asked []string
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.String())
			answer := httptest.NewRecorder()
			_, _ = answer.WriteString(`{"SecretString":"content","VersionId":"v1"}`)
			return answer.Result(), nil
		})}
		src, err := awssm.OpenWith(ambient.with(tt.env).lookup, true, client)(secret.Ref{Scheme: "awssm", Name: "orga/key"})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if _, err := src.Fetch(t.Context()); err != nil || !slices.Equal(asked, []string{tt.want}) {
			t.Errorf("%s: asked %v, %v; want %s", tt.name, asked, err, tt.want)
		}
	}
}

func TestSecretContents(t *testing.T) {
	fake := &secrettest.AWS{}
	src := open(t, ambient.with(serve(t, fake)), "orga/key")
	want := func(what, content string, version string) {
		t.Helper()
		got, err := src.Fetch(t.Context())
		if err != nil || got.Value.Reveal() != content || string(got.Version) != version {
			t.Errorf("%s: another content, or version %s rather than %s; %v", what, got.Version, version, err)
		}
	}
	want("a text", "content", fake.Put("orga/key", "content"))
	want("fault 13: binary that is UTF-8", "contént", fake.PutBinary("orga/key", []byte("contént")))
	version := fake.Put("orga/key", "current")
	fake.PutPending("orga/key", "pending")
	want("only ever AWSCURRENT", "current", version)
	fake.PutBinary("orga/key", []byte{0xff, 0xfe, 0x00})
	if _, err := src.Fetch(t.Context()); !errors.Is(err, secret.ErrMalformed) {
		t.Errorf("fault 13: a binary secret that is not UTF-8: the error is %v", err)
	}
}

// endless answers with an endless secret.
func endless(w http.ResponseWriter, _ *http.Request) {
	_, err := io.WriteString(w, `{"SecretString":"`)
	for err == nil {
		_, err = w.Write(bytes.Repeat([]byte("x"), 64<<10))
	}
}

// cutOff announces more than it sends.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"SecretString":"`)
}

func TestFaults(t *testing.T) {
	const key = "sk_orga_ai_test_canary_of_awssm"
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	said := func(status int, code string) http.HandlerFunc {
		return answer(status, fmt.Sprintf(`{"__type":%q,"Message":"the key is %s"}`, code, key))
	}
	for _, tt := range []struct {
		name  string
		store http.Handler
		kind  error // nil for an outage
		says  string
	}{
		{"fault 1: 500", said(500, "InternalServiceError"), nil, "InternalServiceError"},
		{"throttled", said(400, "ThrottlingException"), nil, "ThrottlingException"},
		{"fault 6: denied", said(400, "AccessDeniedException"), secret.ErrPermanent, "AccessDeniedException"},
		{"fault 6: not found", said(400, "com.amazonaws.secretsmanager#ResourceNotFoundException"), secret.ErrPermanent, "ResourceNotFoundException"},
		{"fault 6: marked for deletion", said(400, "InvalidRequestException"), secret.ErrPermanent, "InvalidRequestException"},
		{"fault 6: the KMS key is disabled", said(400, "DecryptionFailure"), secret.ErrPermanent, "DecryptionFailure"},
		{"fault 6: the access key is inactive", said(400, "UnrecognizedClientException"), secret.ErrPermanent, "UnrecognizedClientException"},
		{"expired credentials pass", said(400, "ExpiredTokenException"), nil, "ExpiredTokenException"},
		{"a code that repeats the key", said(400, key), nil, "HTTP 400"},
		{"a code as long as they get", said(400, strings.Repeat("A", 64)), nil, "answered " + strings.Repeat("A", 64)},
		{"a longer one", said(400, strings.Repeat("A", 65)), nil, "HTTP 400"},
		{"no code", answer(400, "{}"), nil, "HTTP 400"},
		{"a proxy's page", answer(502, "<html>"+key), nil, "HTTP 502"},
		{"a redirect", http.RedirectHandler("http://127.0.0.1:1/"+key, 302), nil, "HTTP 302"},
		{"half of an answer", answer(200, `{"SecretString":"`+key), nil, "does not parse"},
		{"an answer without an end", http.HandlerFunc(endless), nil, "does not parse"},
		{"an answer without a value", answer(200, `{"Name":"`+key+`"}`), secret.ErrMalformed, "no value"},
		{"an answer of another type", answer(200, `{"SecretString":["`+key+`"]}`), nil, "does not parse"},
		{"an answer that is cut off", http.HandlerFunc(cutOff), nil, "closed before the complete answer arrived"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, ambient.with(serve(t, tt.store)), "orga/key").Fetch(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %v", err)
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
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fake := &secrettest.AWS{}
			fake.Put("orga/key", "content")
			fake.Fail(tt.fault, tt.times)
			start := time.Now()
			_, err := open(t, ambient.with(serve(t, fake)), "orga/key").Fetch(t.Context())
			if ok := err == nil; ok != tt.ok || fake.Calls() != tt.calls {
				t.Errorf("%d calls, %v", fake.Calls(), err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("it took %v of the two seconds", took)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	half := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"SecretString":"`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer half.Close()
	stalled := half.Listener.Addr().String()
	for _, tt := range []struct {
		name, address, says string
		budget              time.Duration
	}{
		{"fault 3: the store hangs", silent.Addr().String(), "did not answer in time", 300 * time.Millisecond},
		{"nobody listens", "127.0.0.1:1", " refused", 10 * time.Second}, // "actively refused it" on Windows
		{"fault 3: the answer stalls", stalled, "did not answer in time", 300 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.budget)
			defer cancel()
			_, err := open(t, ambient.with(env{"AWS_ENDPOINT_URL": "http://" + tt.address}), "orga/key").Fetch(ctx)
			if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, secret.ErrPermanent) {
				t.Errorf("the error is %v", err)
			}
			if late := context.Cause(ctx) != nil; late != (tt.budget < time.Second) {
				t.Errorf("it took the whole budget: %t", late)
			}
		})
	}
}

func TestConnectionsAreNotKept(t *testing.T) {
	fake := &secrettest.AWS{}
	fake.Put("orga/key", "content")
	var callers []string
	src := open(t, ambient.with(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		callers = append(callers, r.RemoteAddr)
		fake.ServeHTTP(w, r)
	}))), "orga/key")
	for range 3 {
		if _, err := src.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Sort(callers); len(slices.Compact(callers)) != 3 {
		t.Errorf("three fetches came over the connections %v: one that froze in between would be dead", callers)
	}
}

func ExampleOpen() {
	fake := &secrettest.AWS{} // a fake of AWS
	fake.Put("orga", `{"apiKey": "sk_orga_ai_test"}`)
	srv := httptest.NewServer(fake)
	defer srv.Close()
	environment := owner.with(env{"AWS_ENDPOINT_URL_SECRETS_MANAGER": srv.URL})

	stores := map[string]secret.Driver{"awssm": awssm.Open(environment.lookup, true)}
	src, err := secret.Open("awssm:orga#apiKey", stores, environment.lookup, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := src.Fetch(context.Background())
	fmt.Println(key.Value, len(key.Value.Reveal()), err)
	// Output: [redacted] 15 <nil>
}
