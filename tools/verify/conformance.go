package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// endpoint is the bundle, running as on one platform.
type endpoint struct {
	name      string
	transport http.RoundTripper // the request's own host is ignored
	orga      *orgatest.API     // the endpoint's Orga API
}

// row is one request of the conformance table, with the expected answer.
type row struct {
	name   string
	method string
	path   string
	header []string // name, value, name, value …; "PAGE" is the origin of the page
	sign   bool     // with hmac
	body   string
	mint   http.Handler // a fault of Orga's mint during the request
	status int
	code   string            // of the problem; "" for none
	mints  bool              // set if this is not clear from the path
	not    map[string]string // endpoint → why its platform cannot do this
}

const (
	mintPath  = "/api/orga-client-secrets"
	aliasPath = "/api/orga-session"
)

// unreachableIssuer is an unreachable issuer: nothing listens on port 1.
const unreachableIssuer = "http://127.0.0.1:1"

// wellFormedToken is a token of unreachableIssuer.
var wellFormedToken = "Bearer " + segment(`{"alg":"RS256","kid":"1","typ":"JWT"}`) + "." + segment(`{"iss":"`+unreachableIssuer+`","aud":"verify","exp":4102444800}`) + "." + segment("none")

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// refusedBody is why a Worker gets no large bodies here: Cloudflare's edge is not in front of it.
const refusedBody = "workerd itself resets the connection when more than 64 KiB of a refused body are left"

var rows = []row{
	// Methods and routes.
	{name: "GET mints", method: "GET", path: mintPath, status: 200},
	{name: "POST mints", method: "POST", path: mintPath, status: 200},
	{name: "the alias mints", method: "GET", path: aliasPath, status: 200},
	{name: "a tenant mints", method: "GET", path: mintPath + "/acme", status: 200},
	{name: "a tenant mints by the alias", method: "POST", path: aliasPath + "/acme", status: 200},
	{name: "health", method: "GET", path: "/healthz", status: 200},
	{name: "health, HEAD", method: "HEAD", path: "/healthz", status: 200},
	{name: "ready", method: "GET", path: "/readyz", status: 200},
	{name: "ready, HEAD", method: "HEAD", path: "/readyz", status: 200},
	{name: "health, POST", method: "POST", path: "/healthz", status: 405, code: "method_not_allowed"},
	{name: "mint, HEAD", method: "HEAD", path: mintPath, status: 405},
	{name: "mint, DELETE", method: "DELETE", path: mintPath, status: 405, code: "method_not_allowed"},
	{name: "mint, PUT with a body", method: "PUT", path: mintPath, header: []string{"Content-Type", "application/json"}, body: "{}", status: 405, code: "method_not_allowed"},
	{name: "unknown tenant", method: "GET", path: mintPath + "/nobody", status: 403, code: "forbidden"},
	{name: "trailing slash", method: "GET", path: mintPath + "/", status: 404, code: "not_found"},
	{name: "no route", method: "GET", path: "/api/else", status: 404, code: "not_found"},
	{name: "encoded slash", method: "GET", path: mintPath + "/a%2Fb", status: 404, code: "not_found"},
	{name: "encoded space", method: "GET", path: mintPath + "/a%20b", status: 404, code: "not_found"},
	{name: "encoded name of a tenant", method: "GET", path: mintPath + "/%61cme", status: 404, code: "not_found"},
	{name: "upper case", method: "GET", path: mintPath + "/Acme", status: 404, code: "not_found"},

	// Queries, headers, cookies.
	{name: "repeated query", method: "GET", path: mintPath + "?a=1&a=2&b=%2F&c=%20+&d", status: 200},
	{name: "query with a tenant", method: "GET", path: mintPath + "?tenant=acme", status: 200},
	{name: "request id is kept", method: "GET", path: mintPath, header: []string{"X-Request-Id", "Verify-1.a_b"}, status: 200},
	{name: "request id is replaced", method: "GET", path: mintPath, header: []string{"X-Request-Id", "no good"}, status: 200},
	{name: "repeated header", method: "GET", path: mintPath, header: []string{"X-Request-Id", "one", "X-Other", "1", "X-Other", "2"}, status: 200},
	{name: "cookies", method: "GET", path: mintPath, header: []string{"Cookie", "a=1; b=2", "Cookie", `c="3, 4"`}, status: 200},
	{name: "forged address and identity", method: "GET", path: mintPath, header: []string{"X-Forwarded-For", "1.2.3.4", "X-Amzn-Oidc-Identity", "me", "X-Orga-Tenant", "acme"}, status: 200},

	// Bodies.
	{name: "a body on GET", method: "GET", path: mintPath, header: []string{"Content-Type", "text/plain"}, body: "no JSON", status: 200},
	{name: "JSON body", method: "POST", path: mintPath, header: []string{"Content-Type", "application/json; charset=utf-8"}, body: `{"any":["value",1,null,"ü"]}`, status: 200},
	{name: "broken JSON", method: "POST", path: mintPath, header: []string{"Content-Type", "application/json"}, body: `{"any`, status: 400, code: "bad_request"},
	{name: "binary body", method: "POST", path: mintPath, header: []string{"Content-Type", "application/octet-stream"}, body: "\x00\xff\xfe", status: 415, code: "unsupported_media_type"},
	{name: "binary where JSON belongs", method: "POST", path: mintPath, header: []string{"Content-Type", "application/json"}, body: "\x00\x01", status: 400, code: "bad_request"},
	{name: "no type", method: "POST", path: mintPath, body: "{}", status: 415, code: "unsupported_media_type",
		not: map[string]string{netlify: "its local server drops a body that has no Content-Type"}},
	{name: "16 KiB", method: "POST", path: mintPath, header: []string{"Content-Type", "application/json"}, body: `"` + strings.Repeat("x", 16<<10-2) + `"`, status: 200},
	{name: "16 KiB and a byte", method: "POST", path: mintPath, header: []string{"Content-Type", "application/json"}, body: `"` + strings.Repeat("x", 16<<10-1) + `"`, status: 413, code: "too_large"},
	{name: "64 KiB, binary", method: "POST", path: mintPath, header: []string{"Content-Type", "application/octet-stream"}, body: strings.Repeat("\xff", 64<<10), status: 413, code: "too_large",
		not: map[string]string{cloudflare: refusedBody}},
	{name: "half a megabyte", method: "POST", path: mintPath, header: []string{"Content-Type", "application/octet-stream"}, body: strings.Repeat("\xff", 512<<10), status: 413, code: "too_large",
		not: map[string]string{netlify: "its local server passes the event as an argument, which Linux limits to 128 KiB", cloudflare: refusedBody}},

	// CORS.
	{name: "preflight", method: "OPTIONS", path: mintPath, header: []string{"Origin", "PAGE", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type"}, status: 204},
	{name: "preflight of a tenant", method: "OPTIONS", path: aliasPath + "/acme", header: []string{"Origin", "PAGE", "Access-Control-Request-Method", "GET"}, status: 204},
	{name: "preflight, another origin", method: "OPTIONS", path: mintPath, header: []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "GET"}, status: 204},
	{name: "OPTIONS without origin", method: "OPTIONS", path: mintPath, status: 204},
	{name: "preflight, large headers", method: "OPTIONS", path: mintPath, header: []string{"Origin", "PAGE", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", strings.Repeat("x-header,", 1000)}, status: 431, code: "headers_too_large"},
	{name: "listed origin", method: "GET", path: mintPath, header: []string{"Origin", "PAGE", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, status: 200},
	{name: "another origin", method: "GET", path: mintPath, header: []string{"Origin", "https://evil.example"}, status: 403, code: "forbidden"},
	{name: "null origin", method: "GET", path: mintPath, header: []string{"Origin", "null"}, status: 403, code: "forbidden"},
	{name: "cross-site navigation", method: "GET", path: mintPath, header: []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, status: 403, code: "forbidden"},
	{name: "listed origin on an error", method: "GET", path: "/api/else", header: []string{"Origin", "PAGE"}, status: 404, code: "not_found"},

	// Authentication and limits.
	{name: "hmac, none", method: "GET", path: mintPath + "/signed", status: 401, code: "unauthenticated"},
	{name: "hmac, wrong", method: "GET", path: mintPath + "/signed", header: []string{"Authorization", "Orga-HMAC ts=1,sig=00"}, status: 401, code: "unauthenticated"},
	{name: "hmac", method: "GET", path: mintPath + "/signed?query=does+not+count", sign: true, status: 200},
	{name: "hmac, POST", method: "POST", path: aliasPath + "/signed", sign: true, status: 200},
	{name: "oidc, none", method: "GET", path: mintPath + "/issued", status: 401, code: "unauthenticated"},
	{name: "oidc, the issuer is down", method: "GET", path: mintPath + "/issued", header: []string{"Authorization", wellFormedToken}, status: 503, code: "auth_unavailable"},
	{name: "within the limit", method: "GET", path: mintPath + "/limited", status: 200},
	{name: "over the limit", method: "GET", path: mintPath + "/limited", header: []string{"Origin", "PAGE"}, status: 429, code: "rate_limited"},

	// Upstream faults.
	{name: "no key in the store", method: "GET", path: mintPath + "/nostore", status: 503, code: "secret_unavailable"},
	{name: "Orga refuses the key", method: "GET", path: mintPath, mint: orgatest.Status(401, ""), status: 502, code: "upstream_auth_failed"},
	{name: "Orga is broken", method: "GET", path: mintPath, mint: orgatest.Status(500, ""), status: 502, code: "upstream_error"},
	{name: "Orga talks HTML", method: "GET", path: mintPath, mint: orgatest.HTML(), status: 502, code: "upstream_error"},
	{name: "Orga limits", method: "GET", path: mintPath, mint: orgatest.Status(429, "", "Retry-After", "60"), status: 503, code: "upstream_rate_limited"},
	{name: "Orga hangs", method: "GET", path: mintPath, header: []string{"Origin", "PAGE"}, mint: orgatest.Hang(), status: 504, code: "timeout"},
	{name: "Orga is back", method: "GET", path: mintPath, status: 200},
}

// storeDown is the row for a limiter store that is down. It runs last, for all endpoints at once. Its tenant has not
// refused anyone yet, because refusals are remembered without the store.
var storeDown = row{name: "the limiter's store is down", method: "GET", path: mintPath + "/counted", status: 503, code: "limiter_unavailable",
	not: map[string]string{cloudflare: "a Worker has no connection to Redis; it counts in memory"}}

// answer is a response without the parts that differ between requests.
type answer struct {
	status int
	header map[string]string
	body   string
}

// conform sends all rows to an endpoint, and compares the answers with want unless the endpoint is the reference.
func (s *suite) conform(ctx context.Context, e *endpoint, want map[string]answer) map[string]answer {
	got := make(map[string]answer)
	s.table.check(e.name, conformance, fmt.Sprintf("%d requests, all alike", len(rows)), func() error {
		var faults []error
		for _, r := range rows {
			if why, ok := r.not[e.name]; ok {
				s.table.note("%s: %s: %s", e.name, r.name, why)
				continue
			}
			a, err := s.send(ctx, e, r)
			if err == nil && want != nil {
				err = diff(want[r.name], a)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", r.name, err))
			}
			got[r.name] = a
		}
		return errors.Join(faults...)
	})
	return got
}

func (s *suite) checkStoreDown(ctx context.Context, list []*endpoint) {
	s.fixtures.redis.Stop()
	s.fixtures.dynamoDown.Store(true)
	for _, e := range list {
		if why, ok := storeDown.not[e.name]; ok {
			s.table.note("%s: %s: %s", e.name, storeDown.name, why)
			continue
		}
		s.table.check(e.name, conformance, storeDown.name, func() error {
			_, err := s.send(ctx, e, storeDown)
			return err
		})
	}
}

// send sends one row to an endpoint and checks the answer against the row.
func (s *suite) send(ctx context.Context, e *endpoint, r row) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, "http://endpoint.example"+r.path, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(r.header); i += 2 {
		req.Header.Add(r.header[i], strings.ReplaceAll(r.header[i+1], "PAGE", s.fixtures.origin))
	}
	if r.sign {
		if err := auth.SignRequest(req, hmacKey, ""); err != nil {
			return answer{}, err
		}
	}
	e.orga.FailAll(orga.CallMint, r.mint)
	defer e.orga.FailAll(orga.CallMint, nil)
	minted := len(e.orga.Tokens())
	resp, err := e.transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, body: normalize(string(body)), header: make(map[string]string)}
	for _, name := range contractHeaders {
		if values := resp.Header.Values(name); len(values) > 0 {
			a.header[name] = strings.Join(values, " | ")
		}
	}
	for _, name := range []string{"Server-Timing", "RateLimit", "Retry-After"} {
		if a.header[name] != "" {
			a.header[name] = digits.ReplaceAllString(a.header[name], "0")
		}
	}
	faults := []error{r.check(req, a, body)}
	if more := len(e.orga.Tokens()) - minted; resp.StatusCode != http.StatusOK && more > 0 {
		faults = append(faults, fmt.Errorf("%d tokens were minted for an error", more))
	}
	if id := req.Header.Get("X-Request-Id"); id != "" && !strings.Contains(id, " ") && a.header["X-Request-Id"] != id {
		faults = append(faults, fmt.Errorf("X-Request-Id came back as %q", a.header["X-Request-Id"]))
	}
	if a.header["X-Request-Id"] != "" {
		a.header["X-Request-Id"] = "…"
	}
	return a, errors.Join(faults...)
}

// check returns how an answer violates the contract.
func (r row) check(req *http.Request, a answer, body []byte) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if a.status != r.status {
		fault("status %d, not %d: %.200s", a.status, r.status, body)
	}
	var said struct {
		Code           string
		EphemeralToken string
		ICEServers     []json.RawMessage `json:"iceServers"`
	}
	_ = json.Unmarshal(body, &said) // not every answer has a body
	if said.Code != r.code {
		fault("code %q, not %q", said.Code, r.code)
	}
	mints := r.mints || r.status == http.StatusOK && strings.HasPrefix(req.URL.Path, "/api/")
	if mints != (said.EphemeralToken != "" && len(said.ICEServers) > 0) {
		fault("a session config: %v; want one: %v", !mints, mints)
	}
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "CDN-Cache-Control": "no-store", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff", "Vary": "Origin",
	} {
		if a.header[name] != value {
			fault("%s is %q", name, a.header[name])
		}
	}
	if a.header["X-Request-Id"] == "" {
		fault("no X-Request-Id")
	}
	return errors.Join(faults...)
}

// diff returns where two answers differ.
func diff(want, got answer) error {
	var faults []error
	if want.status != got.status {
		faults = append(faults, fmt.Errorf("status %d, not %d", got.status, want.status))
	}
	for _, name := range contractHeaders {
		if want.header[name] != got.header[name] {
			faults = append(faults, fmt.Errorf("%s is %q, not %q", name, got.header[name], want.header[name]))
		}
	}
	if want.body != got.body {
		faults = append(faults, fmt.Errorf("the body is %.300q, not %.300q", got.body, want.body))
	}
	return errors.Join(faults...)
}

// contractHeaders are the headers that the contract specifies.
var contractHeaders = []string{
	"Cache-Control", "CDN-Cache-Control", "Pragma", "X-Content-Type-Options", "Vary", "X-Request-Id",
	"Content-Type", "Allow", "WWW-Authenticate", "Retry-After", "RateLimit", "RateLimit-Policy", "Server-Timing",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Headers", "Access-Control-Max-Age", "Access-Control-Expose-Headers", "Location", "Set-Cookie",
}

var (
	digits          = regexp.MustCompile(`\d+(\.\d+)?`)
	ownMembers      = regexp.MustCompile(`"(ephemeralToken|expiresAt|requestId|username|credential)":"[^"]*"`)
	expiresInNumber = regexp.MustCompile(`"expiresIn":\d+`)
	retryDelay      = regexp.MustCompile(`Retry in \d+ seconds?`)
)

// normalize removes the parts of a body that differ between any two answers.
func normalize(body string) string {
	body = ownMembers.ReplaceAllString(body, `"$1":"…"`)
	body = expiresInNumber.ReplaceAllString(body, `"expiresIn":0`)
	return retryDelay.ReplaceAllString(body, "Retry in 0 seconds")
}
