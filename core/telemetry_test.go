//go:build otel

package core_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracespb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret"
)

// collector is a fake OpenTelemetry collector that stores what it receives.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	exports  int
	sent     []byte // all of it, as it came, unpacked
	spans    []span
	metrics  map[string]float64 // sums, and counts of histograms, by name{code}
	resource map[string]string
}

type span struct {
	name, trace, id, parent string
	attributes              map[string]string
}

func newCollector(t *testing.T) *collector {
	c := &collector{metrics: make(map[string]float64)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		data, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.exports++
		c.sent = append(c.sent, data...)
		switch r.URL.Path {
		case "/v1/traces":
			c.addSpans(t, data)
		case "/v1/metrics":
			c.addMetrics(t, data)
		default:
			t.Errorf("sent to %s", r.URL.Path)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) addSpans(t *testing.T, data []byte) {
	var request tracespb.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		t.Error(err)
	}
	for _, resource := range request.ResourceSpans {
		c.resource = texts(resource.Resource.Attributes)
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, span{s.Name, hex.EncodeToString(s.TraceId), hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId), texts(s.Attributes)})
			}
		}
	}
}

func (c *collector) addMetrics(t *testing.T, data []byte) {
	var request metricspb.ExportMetricsServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		t.Error(err)
	}
	for _, resource := range request.ResourceMetrics {
		for _, scope := range resource.ScopeMetrics {
			for _, m := range scope.Metrics {
				for _, point := range m.GetSum().GetDataPoints() {
					c.metrics[m.Name+"{"+texts(point.Attributes)["error.type"]+"}"] = float64(point.GetAsInt())
				}
				for _, point := range m.GetHistogram().GetDataPoints() {
					c.metrics[m.Name+"{"+texts(point.Attributes)["http.route"]+"}"] = float64(point.GetCount())
				}
			}
		}
	}
}

func texts(attributes []*commonpb.KeyValue) map[string]string {
	m := make(map[string]string)
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		default:
			m[a.Key] = strings.TrimSpace(fmt.Sprint(a.Value))
		}
	}
	return m
}

// named returns the spans with this name, oldest first.
func (c *collector) named(name string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s span) bool { return s.name != name })
}

// watched deploys with the standard variables, both in the process, for the SDK, and in the endpoint's settings.
func watched(t *testing.T, otel env, set env) *deployment {
	t.Helper()
	all := maps.Clone(otel)
	maps.Copy(all, set)
	for name, value := range otel {
		t.Setenv(name, value)
	}
	return deploy(t, all, nil)
}

// Spans and metrics are exported before the answer is complete, because the instance may then be frozen.
func TestTelemetryOfAMint(t *testing.T) {
	c := newCollector(t)
	d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"},
		env{"ORGA_USER_EMAIL": "someone@example.com", "ORGA_API_KEY": canary})
	d.orga.Fail(orga.CallMint, orgatest.Status(500, "")) // the second attempt succeeds
	d.orga.Intercept = func(_ orga.Call, r *http.Request) http.Handler {
		if r.Header.Get("Traceparent")+r.Header.Get("Baggage") != "" {
			t.Errorf("Orga is told of the trace: %v", r.Header["Traceparent"])
		}
		return nil
	}
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	a := d.ask("GET", mintPath, "Traceparent", "00-"+trace+"-"+parent+"-01", "Baggage", "a=b")
	if a.StatusCode != 200 {
		t.Fatal(a.body)
	}

	requests := c.named("GET " + mintPath)
	if len(requests) != 1 {
		t.Fatalf("spans %+v", c.spans)
	}
	request := requests[0]
	if request.trace != trace || request.parent != parent {
		t.Errorf("the span %+v is not in the caller's trace", request)
	}
	for key, want := range map[string]string{"http.route": mintPath, "http.response.status_code": "int_value:200", "orga_session.auth": "anonymous", "orga_session.token_sha256": request.attributes["orga_session.token_sha256"]} {
		if got := request.attributes[key]; got != want || got == "" {
			t.Errorf("%s is %q, not %q", key, got, want)
		}
	}
	if n := len(c.named("POST client-secrets")); n != 2 {
		t.Errorf("%d spans of mints, not one for each attempt", n)
	}
	for _, call := range append(c.named("POST client-secrets"), c.named("GET ice-config")...) {
		if call.trace != trace || call.parent != request.id {
			t.Errorf("%s is not in the request's span: %+v", call.name, call)
		}
	}
	if !strings.Contains(d.log.String(), `"trace_id":"`+trace+`"`) {
		t.Errorf("the log line has another trace:\n%s", d.log)
	}
	if c.resource["service.name"] != "orga-session" || c.resource["deployment.environment.name"] != "test" {
		t.Errorf("resource %v", c.resource)
	}

	if a := d.ask("GET", mintPath+"/no-such-tenant"); a.StatusCode != 403 {
		t.Fatal(a.body)
	}
	if a := d.ask("GET", "/made/up/by/a/client"); a.StatusCode != 404 {
		t.Fatal(a.body)
	}
	d.ask("GET", "/healthz")
	for metric, want := range map[string]float64{
		"orga_session.requests{}": 1, "orga_session.requests{forbidden}": 1, "orga_session.requests{not_found}": 1, "orga_session.cold_starts{}": 1,
		"http.server.request.duration{" + mintPath + "}": 1, "http.server.request.duration{" + mintPath + "/{tenant}}": 1, "http.server.request.duration{}": 1,
	} {
		if got := c.metrics[metric]; got != want {
			t.Errorf("%s is %v, not %v", metric, got, want)
		}
	}
	for name, private := range map[string]string{"the key": canary, "the token": a.json.EphemeralToken, "the user's email": "someone@example.com", "a health check": "healthz"} {
		if slices.ContainsFunc(forms(private), func(form string) bool { return bytes.Contains(c.sent, []byte(form)) }) {
			t.Errorf("%s was sent to the collector", name)
		}
	}
}

// A request without a trace gets a new one, and the log line has its ID.
func TestTelemetryNamesItsTrace(t *testing.T) {
	c := newCollector(t)
	d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}, nil)
	d.ask("GET", mintPath, "X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678")
	spans := c.named("GET " + mintPath)
	if len(spans) != 1 || !strings.Contains(d.log.String(), `"trace_id":"`+spans[0].trace+`"`) {
		t.Errorf("spans %+v\n%s", spans, d.log)
	}
}

// The variables determine what is exported.
func TestTelemetryVariables(t *testing.T) {
	for _, tt := range []struct {
		name            string
		otel            env
		traces, metrics bool
	}{
		{"nothing", env{}, false, false},
		{"both", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"}, true, true},
		{"traces alone", env{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL/v1/traces"}, true, false},
		{"metrics alone", env{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "URL/v1/metrics"}, false, true},
		{"one of them off", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_METRICS_EXPORTER": "none"}, true, false},
		{"off", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SDK_DISABLED": "true"}, false, false},
		{"what nobody knows", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_TRACES_EXPORTER": "pigeon"}, false, false},
		{"sampled away", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_TRACES_SAMPLER": "always_off"}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCollector(t)
			for name, value := range tt.otel {
				tt.otel[name] = strings.Replace(value, "URL", c.URL, 1)
			}
			d := watched(t, tt.otel, nil)
			if a := d.ask("GET", mintPath); a.StatusCode != 200 || d.fault != nil {
				t.Errorf("%d, %v", a.StatusCode, d.fault)
			}
			if traces := len(c.spans) > 0; traces != tt.traces {
				t.Errorf("traces %t", traces)
			}
			if metrics := len(c.metrics) > 0; metrics != tt.metrics {
				t.Errorf("metrics %t", metrics)
			}
		})
	}
}

// A collector that is down delays one caller by a quarter of a second, later ones not at all, and costs no session. Its
// text is not repeated.
func TestTelemetryCollectorDown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve http.HandlerFunc
	}{
		{"hangs", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // until then, the server does not see the client leave
			<-r.Context().Done()
		}},
		{"refuses", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, canary, http.StatusForbidden) }},
		{"asks to come back", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			http.Error(w, canary, http.StatusServiceUnavailable)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.serve)
			defer server.Close()
			d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=" + canary, "OTEL_EXPORTER_OTLP_TIMEOUT": "500"}, nil)
			began := time.Now()
			for range 20 {
				if a := d.ask("GET", mintPath); a.StatusCode != 200 {
					t.Fatal(a.body)
				}
			}
			if took := time.Since(began); took > 2*time.Second { // 20 × 250 ms are 5 s
				t.Errorf("20 mints took %s", took)
			}
			if strings.Contains(d.log.String(), canary) {
				t.Errorf("the log repeats the collector:\n%s", d.log)
			}
			if said := strings.Count(d.log.String(), "telemetry export failed"); said != 1 {
				t.Errorf("the log says so %d times in less than a minute:\n%s", said, d.log)
			}
		})
	}
}

// With several requests in flight, the last one to end exports for all.
func TestTelemetryFlush(t *testing.T) {
	c := newCollector(t)
	d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_METRICS_EXPORTER": "none"}, nil)
	started, others := make(chan struct{}), make(chan struct{})
	d.orga.Fail(orga.CallMint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-others
		_, _ = io.WriteString(w, `{"ephemeral_token":"t"}`)
	}))
	last := make(chan struct{})
	go func() {
		defer close(last)
		d.ask("GET", mintPath)
	}()
	<-started
	for range 5 {
		d.ask("GET", mintPath)
	}
	if c.exports != 0 {
		t.Errorf("%d exports during a request", c.exports)
	}
	close(others)
	<-last
	if n := len(c.named("GET " + mintPath)); n != 6 || c.exports != 1 {
		t.Errorf("%d spans of 6 requests, in %d exports", n, c.exports)
	}
}

// Over plain HTTP, a caller gets its answer before the export.
func TestTelemetryDoesNotDelayHTTP(t *testing.T) {
	answered, exported := make(chan struct{}), make(chan struct{})
	c := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-answered
		close(exported)
	}))
	defer c.Close()
	d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_METRICS_EXPORTER": "none"}, nil)
	server := httptest.NewServer(d.handler)
	defer server.Close()
	answer, err := http.Get(server.URL + mintPath)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	close(answered)
	<-exported
	server.Close() // waits for what the request still does
	if strings.Contains(d.log.String(), "telemetry export failed") {
		t.Errorf("the caller waited for the collector:\n%s", d.log)
	}
}

// faults 17, 45: if an upstream repeats the key in text that net/http quotes, no span contains it.
func TestTelemetryQuotesNothing(t *testing.T) {
	for name, answer := range map[string]string{
		"a status line": "HTTP/1.1 KEY\r\n\r\n",
		"a header":      "HTTP/1.1 200 OK\r\nKEY\r\n\r\n",
		"an encoding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: KEY\r\n\r\n",
		"a length":      "HTTP/1.1 200 OK\r\nContent-Length: KEY\r\n\r\n",
		"a chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nKEY\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t)
			d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}, env{"ORGA_API_KEY": canary})
			d.orga.FailAll(orga.CallMint, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = rw.WriteString(strings.ReplaceAll(answer, "KEY", r.Header.Get("Authorization")))
				_ = rw.Flush()
			}))
			if a := d.ask("GET", mintPath); a.StatusCode != 502 || len(c.named("POST client-secrets")) == 0 {
				t.Errorf("%d, %d spans", a.StatusCode, len(c.spans))
			}
			if slices.ContainsFunc(forms(canary), func(form string) bool { return bytes.Contains(c.sent, []byte(form)) }) {
				t.Error("the key was sent to the collector")
			}
		})
	}
}

// Paths and hosts chosen by clients do not create metric series.
func TestTelemetryIsBounded(t *testing.T) {
	c := newCollector(t)
	d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_TRACES_EXPORTER": "none"}, nil)
	for _, host := range []string{"a.example", "b.example"} {
		r := httptest.NewRequest("GET", "http://"+host+"/"+host, nil)
		d.send(r)
	}
	if got := c.metrics["http.server.request.duration{}"]; got != 2 || bytes.Contains(c.sent, []byte("b.example")) {
		t.Errorf("%v requests in the one series there should be", got)
	}
}

// Nothing that a client chooses makes a span large, breaks an export or counts as its address.
func TestTelemetryBoundsSpans(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	traced := []string{"Traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}
	state := make([]string, 32)
	for i := range state {
		state[i] = fmt.Sprintf("k%d=%s", i, strings.Repeat("v", 200))
	}
	for name, tt := range map[string]struct {
		method, target string
		headers        []string
		key, want      string // an attribute
	}{
		"agent":                   {"GET", mintPath, append(traced, "User-Agent", "agent/1 "+long), "user_agent.original", "agent/1 " + long[:248]},
		"agent that is not UTF-8": {"GET", mintPath, append(traced, "User-Agent", "agent/\xff"), "user_agent.original", "agent/\uFFFD"},
		"no agent":                {"GET", mintPath, traced, "user_agent.original", ""},
		"path":                    {"GET", "/" + long, traced, "url.path", "/" + long[:255]},
		"path that is not UTF-8":  {"GET", "/%ff", traced, "url.path", "/\uFFFD"},
		"method":                  {"GET" + long, mintPath, traced, "http.request.method_original", "GET" + long[:253]},
		"address":                 {"GET", mintPath, append(traced, "X-Forwarded-For", "6.6.6.6"), "client.address", "192.0.2.1"},
		"port":                    {"GET", "http://a.example:7777" + mintPath, traced, "server.port", ""},
		"trace state":             {"GET", mintPath, append(traced, "Tracestate", "a=b"), "url.path", mintPath},
		"long trace state":        {"GET", mintPath, append(traced, "Tracestate", strings.Join(state, ",")), "url.path", mintPath},
		"baggage":                 {"GET", mintPath, append(traced, "Baggage", "a="+long[:8000]), "url.path", mintPath},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t)
			d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}, nil)
			d.ask(tt.method, tt.target, slices.Clone(tt.headers)...)
			i := slices.IndexFunc(c.spans, func(s span) bool { return s.parent == "00f067aa0ba902b7" })
			if i < 0 || c.spans[i].trace != trace {
				t.Fatalf("no span in the trace: %+v", c.spans)
			}
			if got := c.spans[i].attributes[tt.key]; got != tt.want {
				t.Errorf("%s is %q, want %q", tt.key, got, tt.want)
			}
			if bytes.Contains(c.sent, []byte("7777")) || bytes.Contains(c.sent, []byte("6.6.6.6")) {
				t.Error("the client's port or address was sent")
			}
			if len(c.sent) > 16<<10 {
				t.Errorf("%d bytes were sent", len(c.sent))
			}
			if sent := bytes.Contains(c.sent, []byte("a=b")); sent != (name == "trace state") {
				t.Errorf("the trace's state was sent: %t", sent)
			}
		})
	}
}

// A handler gets the whole request.
func TestTelemetryKeepsTheRequest(t *testing.T) {
	const origin = "https://app.example"
	c := newCollector(t)
	d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}, env{"ORGA_ALLOWED_HOSTS": "voice.example", "ORGA_CORS_ORIGINS": origin})
	r := httptest.NewRequest("POST", "http://voice.example"+mintPath, strings.NewReader(`{"a":1}`))
	if a := d.send(r, "Content-Type", "application/json", "Origin", origin); a.StatusCode != 200 || a.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if spans := c.named("POST " + mintPath); len(spans) != 1 || spans[0].attributes["http.request.body.size"] != "int_value:7" {
		t.Errorf("spans %+v", spans)
	}
	if a := d.ask("OPTIONS", "http://voice.example"+mintPath, "Origin", origin, "Access-Control-Request-Headers", strings.Repeat("x", 9<<10)); a.StatusCode != 431 {
		t.Errorf("a long header is answered %d", a.StatusCode)
	}
}

// Outcomes of a secret's refresh are counted, like its log lines.
func TestTelemetryOfASecret(t *testing.T) {
	c := newCollector(t)
	fetches := 0
	store := func(secret.Ref) (secret.Source, error) {
		return secret.SourceFunc(func(context.Context) (secret.Secret, error) {
			switch fetches++; fetches {
			case 3:
				return secret.Secret{}, errors.New("down")
			case 4:
				return secret.Secret{}, secret.ErrPermanent
			}
			return secret.Secret{Value: secret.NewValue(orgatest.Key), Version: secret.Version(strconv.Itoa(fetches))}, nil
		}), nil
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	d := deploy(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "ORGA_API_KEY_SOURCE": "store:key", "ORGA_API_KEY_TTL": "1ms"}, map[string]secret.Driver{"store": store})
	for _, past := range []time.Duration{5 * time.Millisecond, 5 * time.Millisecond, 1100 * time.Millisecond} { // the TTL, or the backoff
		<-time.After(past)
		d.ask("GET", mintPath)
	}
	for metric, want := range map[string]float64{"orga_session.secret_rotated{}": 1, "orga_session.secret_fetch_failed{}": 2, "orga_session.secret_fetch_failed_permanently{}": 1, "orga_session.requests{}": 2, "orga_session.requests{secret_unavailable}": 1} {
		if got := c.metrics[metric]; got != want {
			t.Errorf("%s is %v, not %v\n%s", metric, got, want, d.log)
		}
	}
}

// fault 82: metrics do not depend on the log level.
func TestTelemetryCountsAtAnyLevel(t *testing.T) {
	for _, level := range []string{"debug", "warn", "error"} {
		c := newCollector(t)
		d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}, env{"ORGA_LOG_LEVEL": level})
		for range 3 {
			d.ask("GET", mintPath)
		}
		d.ask("GET", "/healthz")
		d.ask("GET", mintPath+"/no-such-tenant")
		d.ask("GET", mintPath) // sends what the one before counted, too
		if got, refused := c.metrics["orga_session.requests{}"], c.metrics["orga_session.requests{forbidden}"]; got != 4 || refused != 1 {
			t.Errorf("at %s: counted %v and %v", level, got, refused)
		}
		if spans := c.named("GET " + mintPath); len(spans) != 4 || spans[0].attributes["orga_session.token_sha256"] == "" {
			t.Errorf("at %s: spans %+v", level, spans)
		}
	}
}

// Names are comma-separated, with or without blanks; unknown ones are logged.
func TestTelemetryPropagators(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, tt := range []struct {
		value, logged string
		continued     bool
	}{
		{"tracecontext, baggage", "", true},
		{" xray ,\ttracecontext , ", "", true},
		{"", "", true},
		{"xray", "", false},
		{"none", "", false},
		{"tracecontext, pigeon", `"unknown":"pigeon"`, true},
		{"pigeon", `"unknown":"pigeon"`, true},
		{"tracecontext," + canary + ".secret", `"unknown":"entry 2"`, true},
	} {
		t.Run(tt.value, func(t *testing.T) {
			c := newCollector(t)
			d := watched(t, env{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_PROPAGATORS": tt.value}, nil)
			d.ask("GET", mintPath, "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
			if spans := c.named("GET " + mintPath); len(spans) != 1 || (spans[0].trace == trace) != tt.continued {
				t.Errorf("spans %+v", spans)
			}
			if log := d.log.String(); strings.Contains(log, "OTEL_PROPAGATORS") != (tt.logged != "") || !strings.Contains(log, tt.logged) || strings.Contains(log, canary) {
				t.Error(log)
			}
		})
	}
}
