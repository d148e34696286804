package access_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
	"github.com/orga-session/orga-session/core/platform"
)

// accepts returns a method that accepts everybody as one principal.
func accepts(p auth.Principal) access.Method {
	return access.Method{Name: "test", Verifier: auth.VerifierFunc(func(*http.Request) (auth.Principal, error) { return p, nil })}
}

// refuses returns a method that fails with an error for everybody.
func refuses(err error) access.Method {
	return access.Method{Name: "test", Verifier: auth.VerifierFunc(func(*http.Request) (auth.Principal, error) { return auth.Principal{}, err })}
}

func TestAuthNeedsOneVerifierThatAccepts(t *testing.T) {
	var (
		nothing = refuses(auth.ErrNoCredential)
		bad     = refuses(errors.New("sk_orga_ai_test does not hold"))
		out     = refuses(&auth.UnavailableError{Err: errors.New("out")})
		good    = accepts(auth.Principal{Subject: "ada"})
	)
	for _, tt := range []struct {
		name    string
		methods []access.Method
		want    string
	}{
		{"none configured", nil, "unauthenticated"},
		{"no credential", []access.Method{nothing}, "unauthenticated"},
		{"a bad one", []access.Method{bad}, "unauthenticated"},
		{"a good one", []access.Method{good}, ""},
		{"the second accepts", []access.Method{nothing, good}, ""},
		{"a bad one for the first, a good one for the second", []access.Method{bad, good}, ""},
		{"the first is out, the second accepts", []access.Method{out, good}, ""},
		{"the first is out, nothing for the second", []access.Method{out, nothing}, "auth_unavailable"},
		{"a bad one for the first, the second is out", []access.Method{bad, out}, "auth_unavailable"},
		{"the first is out, a bad one for the second", []access.Method{out, bad}, "auth_unavailable"},
		{"anybody", []access.Method{access.Anonymous()}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, m := whole(tt.methods...)
			w := requesttest.Serve(h, requesttest.New())
			if got := requesttest.Code(t, w); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
			if want := map[bool]int{true: 1, false: 0}[tt.want == ""]; m.N != want {
				t.Errorf("minted %d times, want %d (fault 33)", m.N, want)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge == "Bearer") != (tt.want == "unauthenticated") {
				t.Errorf("WWW-Authenticate: %q", challenge)
			}
		})
	}
}

// A verifier's error determines the answer, wrapped or not.
func TestErrorsOfVerifiers(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	down := errors.New("down")
	for _, tt := range []struct {
		err               error
		ctx               context.Context
		status            int
		code, retry, logs string
	}{
		{auth.ErrNoCredential, t.Context(), 401, "unauthenticated", "", "no accepted credential"},
		{fmt.Errorf("no cookie: %w", auth.ErrNoCredential), t.Context(), 401, "unauthenticated", "", "no accepted credential"},
		{errors.New("expired"), t.Context(), 401, "unauthenticated", "", "expired"},
		{auth.ErrForbidden, t.Context(), 403, "forbidden", "", "the caller may not mint"},
		{fmt.Errorf("%w: no subscription", auth.ErrForbidden), t.Context(), 403, "forbidden", "", "the caller may not mint: no subscription"},
		{&auth.UnavailableError{Err: down}, t.Context(), 503, "auth_unavailable", "", "down"},
		{&auth.UnavailableError{RetryAfter: 1500 * time.Millisecond, Err: down}, t.Context(), 503, "auth_unavailable", "2", "down"},
		{fmt.Errorf("sessions: %w", &auth.UnavailableError{RetryAfter: time.Second, Err: down}), t.Context(), 503, "auth_unavailable", "1", "sessions: down"},
		{&auth.UnavailableError{Err: context.Canceled}, canceled, 499, "client_gone", "", "context canceled"},
		{fmt.Errorf("sessions: %w", context.Canceled), canceled, 499, "client_gone", "", "sessions: context canceled"},
		{fmt.Errorf("sessions: %w", context.DeadlineExceeded), expired, 504, "timeout", "", "sessions: context deadline exceeded"},
		{context.Canceled, t.Context(), 401, "unauthenticated", "", "context canceled"},               // of another context
		{context.DeadlineExceeded, canceled, 401, "unauthenticated", "", "context deadline exceeded"}, // the same
	} {
		var log bytes.Buffer
		h, m := whole(refuses(tt.err))
		w := httptest.NewRecorder()
		request.Handler(h, slog.New(slog.NewTextHandler(&log, nil))).ServeHTTP(w, requesttest.New().WithContext(tt.ctx))
		if w.Code != tt.status || requesttest.Code(t, w) != tt.code || w.Header().Get("Retry-After") != tt.retry || m.N != 0 {
			t.Errorf("%v: %d %s, Retry-After %q", tt.err, w.Code, requesttest.Code(t, w), w.Header().Get("Retry-After"))
		}
		if !strings.Contains(strings.ReplaceAll(log.String(), `"`, ""), "cause="+tt.logs+"\n") {
			t.Errorf("%v is logged as %s", tt.err, &log)
		}
	}
}

// The log has the most helpful cause: an outage before an invalid credential, and that before a missing one.
func TestAuthCauses(t *testing.T) {
	nothing, bad := refuses(auth.ErrNoCredential), refuses(errors.New("bad"))
	out := refuses(&auth.UnavailableError{Err: errors.New("out")})
	other := accepts(auth.Principal{Subject: "ada", Claims: map[string]any{"org": "other"}})
	for _, tt := range []struct {
		methods []access.Method
		want    string
	}{
		{nil, "no accepted credential"},
		{[]access.Method{nothing}, "no accepted credential"},
		{[]access.Method{bad}, "bad"},
		{[]access.Method{bad, nothing}, "bad"},
		{[]access.Method{nothing, bad}, "bad"},
		{[]access.Method{out, bad}, "out"},
		{[]access.Method{out, nothing}, "out"},
		{[]access.Method{bad, out}, "out"},
		{[]access.Method{other, bad}, "the tenant claim does not match the route"},
		{[]access.Method{other, nothing}, "the tenant claim does not match the route"},
	} {
		var log bytes.Buffer
		h := request.Handler(access.Require(access.Options{Methods: tt.methods, Claim: claim("org"), Tenant: "acme"})(new(requesttest.Minted)), slog.New(slog.NewTextHandler(&log, nil)))
		h.ServeHTTP(httptest.NewRecorder(), requesttest.New())
		if want := "cause=" + tt.want + "\n"; !strings.Contains(strings.ReplaceAll(log.String(), `"`, ""), want) {
			t.Errorf("%s, want %s", &log, want)
		}
	}
}

func TestAuthHasOneBodyForAllReasons(t *testing.T) {
	bodies := map[string]bool{}
	for _, err := range []error{auth.ErrNoCredential, errors.New("expired"), errors.New("wrong issuer")} {
		h, _ := whole(refuses(err))
		bodies[requesttest.Serve(h, requesttest.New("X-Request-Id", "the-same")).Body.String()] = true
	}
	if len(bodies) != 1 {
		t.Errorf("%d different bodies: %v", len(bodies), bodies)
	}
}

// claim returns a tenant claim with this name; nil for "".
func claim(name string) *access.TenantClaim {
	if name == "" {
		return nil
	}
	return &access.TenantClaim{Name: name}
}

// The challenge names the accepted schemes.
func TestChallenge(t *testing.T) {
	bearer, signed := oidc(t), access.HMAC(keysOf(""))
	for _, tt := range []struct {
		methods []access.Method
		want    string
	}{
		{[]access.Method{bearer}, "Bearer"},
		{[]access.Method{signed}, "Orga-HMAC"},
		{[]access.Method{bearer, signed}, "Bearer, Orga-HMAC"},
		{[]access.Method{signed, access.Gateway(), bearer}, "Orga-HMAC, Bearer"},
		{[]access.Method{access.Gateway()}, "Bearer"}, // RFC 9110 wants one
		{nil, "Bearer"},
		{[]access.Method{{Name: "turnstile", Scheme: "Turnstile", Verifier: refuses(auth.ErrNoCredential)}}, "Turnstile"},
	} {
		h, _ := whole(tt.methods...)
		if got := requesttest.Serve(h, requesttest.New()).Header().Get("WWW-Authenticate"); got != tt.want {
			t.Errorf("%d methods: %q, want %q", len(tt.methods), got, tt.want)
		}
	}
}

// The log has the method that accepted the caller and, at debug level, each method's result.
func TestMethodsAreLogged(t *testing.T) {
	var log bytes.Buffer
	ada := accepts(auth.Principal{Subject: "ada"})
	ada.Name = "ticket"
	h := request.Handler(access.Require(access.Options{Methods: []access.Method{access.HMAC(keysOf("")), ada}})(new(requesttest.Minted)),
		slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	h.ServeHTTP(httptest.NewRecorder(), requesttest.New())
	for _, want := range []string{`auth=hmac outcome="no accepted credential`, `auth=ticket outcome=accepted`, `msg=request `, ` auth=ticket user.hash=`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, &log)
		}
	}
}

// fault 77: a tenant's claim value may differ from its name.
func TestClaimValue(t *testing.T) {
	for _, tt := range []struct {
		claim any
		want  string
	}{
		{"org_2abC", ""}, {"acme", "forbidden"}, {"org_2abc", "forbidden"}, {"org_2abC ", "forbidden"}, {"", "forbidden"}, {nil, "forbidden"}, {[]any{"org_2abC"}, "forbidden"},
	} {
		h := access.Require(access.Options{
			Methods: []access.Method{accepts(auth.Principal{Subject: "ada", Claims: map[string]any{"org_id": tt.claim}})},
			Claim:   claim("org_id"), Tenant: "acme", ClaimValue: "org_2abC",
		})(new(requesttest.Minted))
		if got := requesttest.Code(t, requesttest.Serve(h, requesttest.New())); got != tt.want {
			t.Errorf("%v: code %q, want %q", tt.claim, got, tt.want)
		}
	}
}

// The first verified token without the claim causes one warning for all tenants, because the name may be misspelled.
func TestMissingClaimWarning(t *testing.T) {
	for _, tt := range []struct {
		name   string
		p      auth.Principal
		warned bool
	}{
		{"no such claim", auth.Principal{Subject: "ada", Claims: map[string]any{"other": "acme"}}, true},
		{"no claims at all", auth.Principal{Subject: "ada"}, true},
		{"no subject", auth.Principal{Claims: map[string]any{}}, true},
		{"another tenant's", auth.Principal{Subject: "ada", Claims: map[string]any{"org": "other"}}, false},
		{"null", auth.Principal{Subject: "ada", Claims: map[string]any{"org": nil}}, false},
		{"a signature", auth.Principal{Subject: "ada", PathSigned: true}, false},
		{"anybody", auth.Principal{}, false},
	} {
		var log bytes.Buffer
		shared := &access.TenantClaim{Name: "org", Log: slog.New(slog.NewTextHandler(&log, nil))}
		for _, tenant := range []string{"acme", "other", ""} {
			h := access.Require(access.Options{Methods: []access.Method{accepts(tt.p)}, Claim: shared, Tenant: tenant})(new(requesttest.Minted))
			requesttest.Serve(h, requesttest.New())
			requesttest.Serve(h, requesttest.New())
		}
		want := 0
		if tt.warned {
			want = 1
		}
		if n := strings.Count(log.String(), "level=WARN msg=\"a verified caller lacks the tenant claim\" claim=org\n"); n != want || strings.Count(log.String(), "\n") != want {
			t.Errorf("%s: %s", tt.name, &log)
		}
	}
}

func TestTenantClaim(t *testing.T) {
	claims := func(v any) auth.Principal {
		return auth.Principal{Subject: "ada", Claims: map[string]any{"org": v}}
	}
	for _, tt := range []struct {
		name   string
		p      auth.Principal
		claim  string
		tenant string
		want   string
	}{
		{"the tenant's own", claims("acme"), "org", "acme", ""},
		{"another tenant's", claims("other"), "org", "acme", "forbidden"},
		{"another case", claims("Acme"), "org", "acme", "forbidden"},
		{"no claim", auth.Principal{Subject: "ada"}, "org", "acme", "forbidden"},
		{"null", claims(nil), "org", "acme", "forbidden"},
		{"empty", claims(""), "org", "acme", "forbidden"},
		{"a list that has it", claims([]any{"acme"}), "org", "acme", "forbidden"},
		{"a number", claims(1.0), "org", "acme", "forbidden"},
		{"default route, a tenant's caller", claims("acme"), "org", "", "forbidden"},
		{"default route, no claim", auth.Principal{Subject: "ada"}, "org", "", ""},
		{"default route, null", claims(nil), "org", "", ""},
		{"default route, empty", claims(""), "org", "", ""},
		{"default route, an empty list", claims([]any{}), "org", "", "forbidden"},
		{"no claim required", claims("other"), "", "acme", ""},
		{"a signature over the path", auth.Principal{PathSigned: true}, "org", "acme", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(requesttest.Minted)
			w := requesttest.Serve(access.Require(access.Options{Methods: []access.Method{accepts(tt.p)}, Claim: claim(tt.claim), Tenant: tt.tenant})(m), requesttest.New())
			if got := requesttest.Code(t, w); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
			if (m.N == 1) != (tt.want == "") {
				t.Errorf("minted %d times", m.N)
			}
		})
	}
}

// The log and the limits identify a caller by a hash of issuer and subject.
func TestCallerIsRecorded(t *testing.T) {
	callers := make(map[string]bool)
	for _, p := range []auth.Principal{{Subject: "ada", Issuer: "i"}, {Subject: "ada", Issuer: "j"}, {Subject: "bob", Issuer: "i"}, {}} {
		var caller string
		h := access.Require(access.Options{Methods: []access.Method{accepts(p)}})(
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { caller = request.From(r.Context()).Caller }))
		requesttest.Serve(h, requesttest.New())
		if (caller == "") != (p.Subject == "") || caller != "" && len(caller) != 32 || callers[caller] {
			t.Errorf("%+v is recorded as %q", p, caller)
		}
		callers[caller] = true
	}
}

// If one method verifies a caller but refuses it, and another accepts another, the limit and the log use the accepted one.
func TestRecordedCallerIsAcceptedOne(t *testing.T) {
	var got request.Record
	h := access.Require(access.Options{
		Methods: []access.Method{accepts(auth.Principal{Subject: "eve", Issuer: "https://id.example", Claims: map[string]any{"org": "other"}}), accepts(auth.Principal{Issuer: "platform"})},
		Claim:   claim("org"),
	})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = *request.From(r.Context()) }))
	requesttest.Serve(h, requesttest.New())
	if got.Issuer != "platform" || got.Caller != "" {
		t.Errorf("the second method accepted a caller without a name, and the record has issuer %q, caller %q", got.Issuer, got.Caller)
	}
}

func TestGatewayIgnoresHeaders(t *testing.T) {
	h, m := whole(access.Gateway())
	forged := requesttest.New(
		"X-Amzn-Oidc-Identity", "ada", "X-Amzn-Oidc-Data", "x", "X-Orga-Tenant", "acme", "X-Tenant", "acme",
		"X-Goog-Authenticated-User-Email", "ada@example.com", "X-Forwarded-User", "ada", "X-Amzn-Requestcontext", `{"authorizer":{"principalId":"ada"}}`)
	if got := requesttest.Code(t, requesttest.Serve(h, forged)); got != "unauthenticated" {
		t.Errorf("fault 24: headers of the client's: code %q", got)
	}
	r := requesttest.New()
	r = r.WithContext(platform.With(r.Context(), platform.Info{Identity: &platform.Identity{Subject: "ada", Claims: map[string]any{"org": "acme"}}}))
	if got := requesttest.Code(t, requesttest.Serve(access.Require(access.Options{Methods: []access.Method{access.Gateway()}, Claim: claim("org"), Tenant: "acme"})(m), r)); got != "" {
		t.Errorf("an identity of the platform's: code %q", got)
	}
	if m.N != 1 {
		t.Errorf("minted %d times, want 1", m.N)
	}
}

// If a caller is refused for another tenant's claim, the log identifies the caller.
func TestRefusedClaimNamesTheCaller(t *testing.T) {
	ada := accepts(auth.Principal{Subject: "ada", Claims: map[string]any{"org": "other"}})
	var log bytes.Buffer
	h := request.Handler(access.Require(access.Options{Methods: []access.Method{ada}, Claim: claim("org"), Tenant: "acme"})(new(requesttest.Minted)), slog.New(slog.NewJSONHandler(&log, nil)))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if !strings.Contains(log.String(), `"error.type":"forbidden"`) || !strings.Contains(log.String(), `"user.hash":"`) || strings.Contains(log.String(), "ada") {
		t.Error(log.String())
	}
}
