package policy_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/exchange"
	"github.com/orga-session/orga-session/core/policy"
)

// accepts is a verifier with a principal for everybody.
func accepts(p policy.Principal) policy.Verifier {
	return policy.VerifierFunc(func(*http.Request) (policy.Principal, error) { return p, nil })
}

// refuses is a verifier with an error for everybody.
func refuses(err error) policy.Verifier {
	return policy.VerifierFunc(func(*http.Request) (policy.Principal, error) { return policy.Principal{}, err })
}

func TestAuthNeedsOneVerifierThatAccepts(t *testing.T) {
	var (
		nothing = refuses(policy.ErrNoCredential)
		bad     = refuses(errors.New("sk_orga_ai_test does not hold"))
		out     = refuses(exchange.Refuse(exchange.AuthUnavailable, nil))
		good    = accepts(policy.Principal{Subject: "ada"})
	)
	for _, tt := range []struct {
		name      string
		verifiers []policy.Verifier
		want      string
	}{
		{"none configured", nil, "unauthenticated"},
		{"no credential", []policy.Verifier{nothing}, "unauthenticated"},
		{"a bad one", []policy.Verifier{bad}, "unauthenticated"},
		{"a good one", []policy.Verifier{good}, ""},
		{"the second accepts", []policy.Verifier{nothing, good}, ""},
		{"a bad one for the first, a good one for the second", []policy.Verifier{bad, good}, ""},
		{"the first is out, the second accepts", []policy.Verifier{out, good}, ""},
		{"the first is out, nothing for the second", []policy.Verifier{out, nothing}, "auth_unavailable"},
		{"a bad one for the first, the second is out", []policy.Verifier{bad, out}, "auth_unavailable"},
		{"the first is out, a bad one for the second", []policy.Verifier{out, bad}, "auth_unavailable"},
		{"anybody", []policy.Verifier{policy.Anonymous()}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, m := whole(tt.verifiers...)
			w := serve(h, request())
			if got := problem(t, w); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
			if want := map[bool]int{true: 1, false: 0}[tt.want == ""]; m.n != want {
				t.Errorf("minted %d times, want %d (fault 33)", m.n, want)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge == "Bearer") != (tt.want == "unauthenticated") {
				t.Errorf("WWW-Authenticate: %q", challenge)
			}
		})
	}
}

func TestAuthHasOneBodyForAllReasons(t *testing.T) {
	bodies := map[string]bool{}
	for _, err := range []error{policy.ErrNoCredential, errors.New("expired"), errors.New("wrong issuer")} {
		h, _ := whole(refuses(err))
		bodies[serve(h, request("X-Request-Id", "the-same")).Body.String()] = true
	}
	if len(bodies) != 1 {
		t.Errorf("%d different bodies: %v", len(bodies), bodies)
	}
}

func TestAuthHoldsCallersToTheirTenant(t *testing.T) {
	claims := func(v any) policy.Principal {
		return policy.Principal{Subject: "ada", Claims: map[string]any{"org": v}}
	}
	for _, tt := range []struct {
		name   string
		p      policy.Principal
		claim  string
		tenant string
		want   string
	}{
		{"the tenant's own", claims("acme"), "org", "acme", ""},
		{"another tenant's", claims("other"), "org", "acme", "forbidden"},
		{"another case", claims("Acme"), "org", "acme", "forbidden"},
		{"no claim", policy.Principal{Subject: "ada"}, "org", "acme", "forbidden"},
		{"null", claims(nil), "org", "acme", "forbidden"},
		{"empty", claims(""), "org", "acme", "forbidden"},
		{"a list that has it", claims([]any{"acme"}), "org", "acme", "forbidden"},
		{"a number", claims(1.0), "org", "acme", "forbidden"},
		{"default route, a tenant's caller", claims("acme"), "org", "", "forbidden"},
		{"default route, no claim", policy.Principal{Subject: "ada"}, "org", "", ""},
		{"default route, null", claims(nil), "org", "", ""},
		{"default route, empty", claims(""), "org", "", ""},
		{"default route, an empty list", claims([]any{}), "org", "", "forbidden"},
		{"no claim is asked for", claims("other"), "", "acme", ""},
		{"a signature over the path", policy.Principal{PathSigned: true}, "org", "acme", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(minted)
			w := serve(policy.Auth([]policy.Verifier{accepts(tt.p)}, tt.claim, tt.tenant)(m), request())
			if got := problem(t, w); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
			if (m.n == 1) != (tt.want == "") {
				t.Errorf("minted %d times", m.n)
			}
		})
	}
}

func TestAuthHandsThePrincipalOn(t *testing.T) {
	var got policy.Principal
	var hash string
	h := policy.Auth([]policy.Verifier{accepts(policy.Principal{Subject: "ada", Issuer: "https://id.example"})}, "", "")(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, _ = policy.PrincipalFrom(r.Context())
			hash = exchange.From(r.Context()).Subject
		}))
	serve(h, request())
	if got.Subject != "ada" || got.Issuer != "https://id.example" {
		t.Errorf("principal %+v", got)
	}
	if len(hash) != 16 || hash == "ada" {
		t.Errorf("the log would have %q for the subject, want a hash", hash)
	}
	if _, ok := policy.PrincipalFrom(request().Context()); ok {
		t.Error("a request that Auth has not seen has a principal")
	}
}

func TestGatewayBelievesThePlatformAlone(t *testing.T) {
	h, m := whole(policy.Gateway())
	forged := request(
		"X-Amzn-Oidc-Identity", "ada", "X-Amzn-Oidc-Data", "x", "X-Orga-Tenant", "acme", "X-Tenant", "acme",
		"X-Goog-Authenticated-User-Email", "ada@example.com", "X-Forwarded-User", "ada", "X-Amzn-Requestcontext", `{"authorizer":{"principalId":"ada"}}`)
	if got := problem(t, serve(h, forged)); got != "unauthenticated" {
		t.Errorf("fault 24: headers of the client's: code %q", got)
	}
	r := request()
	r = r.WithContext(exchange.WithPlatform(r.Context(), exchange.Platform{Identity: &exchange.Identity{Subject: "ada", Claims: map[string]any{"org": "acme"}}}))
	if got := problem(t, serve(policy.Auth([]policy.Verifier{policy.Gateway()}, "org", "acme")(m), r)); got != "" {
		t.Errorf("an identity of the platform's: code %q", got)
	}
	if m.n != 1 {
		t.Errorf("minted %d times, want 1", m.n)
	}
}

// Who is refused for another tenant's claim is known, and the log says who it was.
func TestRefusedClaimNamesTheCaller(t *testing.T) {
	ada := policy.VerifierFunc(func(*http.Request) (policy.Principal, error) {
		return policy.Principal{Subject: "ada", Claims: map[string]any{"org": "other"}}, nil
	})
	var log bytes.Buffer
	h := exchange.Handler(policy.Auth([]policy.Verifier{ada}, "org", "acme")(new(minted)), slog.New(slog.NewJSONHandler(&log, nil)))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if !strings.Contains(log.String(), `"code":"forbidden"`) || !strings.Contains(log.String(), `"subject":"`) || strings.Contains(log.String(), "ada") {
		t.Error(log.String())
	}
}
