package drill

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/ratelimit/ratelimittest"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// site is the environment of an incident.
type site struct {
	t     *testing.T
	orga  *orgatest.Server
	store *secrettest.AWS
	env   map[string]string

	issuer *httptest.Server // of keySet
}

// request is a caller's request; the zero value is a mint on the default route from a new address.
type request struct {
	path, body, from string
	headers          map[string]string
	claims           map[string]string // of a token verified by the gateway
	before           func(s *site)     // runs before the request is sent
	leaves           bool              // the caller disconnects without waiting; only the server notices
}

type incident struct {
	name      string
	program   string        // the program to run; "" for the function
	instances int           // started concurrently, one request each; 0 for one instance that serves all requests
	set       func(s *site) // called before the start
	requests  []request     // nil for five default ones
	// canary is the environment of a canary that runs once, added to that of every function; endpoint is the function behind a
	// gateway. nil means a canary elsewhere that succeeds.
	canary  func(s *site, endpoint string) map[string]string
	stopped bool   // the canary has stopped running
	line    string // part of the line's cause, msg or error.type, with which a row of docs/operate.md starts; "" for no line
	alarm   string // the alarm that must fire; "" for none
	reason  string // why none fires
}

func setting(name, value string) func(*site) {
	return func(s *site) { s.env[name] = value }
}

func orgaAnswers(call orga.Call, h http.Handler) func(*site) {
	return func(s *site) { s.orga.FailAll(call, h) }
}

func storeFails(f secrettest.Fault) func(*site) {
	return func(s *site) {
		s.env["ORGA_API_KEY_SOURCE"] = "awssm:orga/key"
		s.store.Fail(f, 0)
	}
}

// issuerKey is the key of every issuer in these tests.
var issuerKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// jwt returns a token of an issuer for the endpoint.
func jwt(iss string) map[string]string { return token(iss, "app", time.Hour) }

func token(iss, aud string, life time.Duration) map[string]string {
	claims := fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"someone","exp":%d}`, iss, aud, time.Now().Add(life).Unix())
	return sign("k1", claims)
}

// newKey returns a token signed with a key that the issuer did not have before.
func newKey() map[string]string {
	return sign("k2", fmt.Sprintf(`{"iss":"http://127.0.0.1:1","aud":"app","sub":"someone","exp":%d}`, time.Now().Add(time.Hour).Unix()))
}

func sign(kid, claims string) map[string]string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","kid":"`+kid+`"}`)) + "." + encode([]byte(claims))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, issuerKey(), crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return map[string]string{"authorization": "Bearer " + signed + "." + encode(signature)}
}

// forged returns a token with an invalid signature.
func forged(iss string) map[string]string {
	h := jwt(iss)
	h["authorization"] = h["authorization"][:strings.LastIndex(h["authorization"], ".")+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
	return h
}

func oidc(s *site) {
	maps.Copy(s.env, map[string]string{"ORGA_AUTH": "oidc", "ORGA_AUTH_ISSUER": "http://127.0.0.1:1", "ORGA_AUTH_AUDIENCE": "app"})
}

// keySet serves an issuer with one key.
func keySet(s *site) {
	n := base64.RawURLEncoding.EncodeToString(issuerKey().N.Bytes())
	s.issuer = httptest.NewServer(orgatest.Status(200, `{"keys":[{"kty":"RSA","kid":"k1","e":"AQAB","n":"`+n+`"}]}`))
	s.t.Cleanup(s.issuer.Close)
	s.env["ORGA_AUTH_JWKS_URL"] = s.issuer.URL
}

func hmacAuth(s *site) {
	maps.Copy(s.env, map[string]string{"ORGA_AUTH": "hmac", "ORGA_AUTH_HMAC_KEY_SOURCE": "env:HMAC", "HMAC": strings.Repeat("0123456789abcdef", 4)})
}

func signed(ts time.Time) map[string]string {
	return map[string]string{"authorization": fmt.Sprintf("Orga-HMAC ts=%d,sig=%064d", ts.Unix(), 0)}
}

func dynamo(answer http.HandlerFunc) func(*site) {
	return func(s *site) {
		server := httptest.NewServer(answer)
		s.t.Cleanup(server.Close)
		s.env["ORGA_RATE_LIMIT_STORE"], s.env["AWS_ENDPOINT_URL_DYNAMODB"], s.env["ORGA_RATE_LIMIT"] = "dynamodb:limits", server.URL, "30/1m"
	}
}

func redis(address string) func(*site) {
	return func(s *site) { s.env["ORGA_RATE_LIMIT_STORE"], s.env["ORGA_RATE_LIMIT"] = address, "1000/1m" }
}

func redisServer(url string, args ...string) func(*site) {
	return func(s *site) {
		server := ratelimittest.StartRedis(s.t, args...)
		redis(strings.ReplaceAll(url, "ADDRESS", server.Addr))(s)
	}
}

// replica starts a redis-server as a replica of another, like the old primary after a failover.
func replica(s *site) {
	host, port, err := net.SplitHostPort(ratelimittest.StartRedis(s.t).Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	redisServer("redis://ADDRESS", "--replicaof", host, port)(s)
}

func tenants(document string) func(*site) {
	return func(s *site) {
		maps.Copy(s.env, map[string]string{"ORGA_TENANTS_SOURCE": "env:TENANTS", "TENANTS": document, "ORGA_API_KEY_ACME": orga.KeyPrefix + "another000000000000000000000"})
	}
}

const acme = `{"tenants":{"acme":{"apiKeySource":"env:ORGA_API_KEY_ACME"}}}`

// stale changes the key's store, and makes the key due for a refresh.
func stale(change func(s *site)) []request {
	return append(times(1, request{}), append(times(1, request{before: func(s *site) {
		change(s)
		<-time.After(1300 * time.Millisecond) // past the TTL of 1 s with its jitter of 20 %, but before two TTLs
	}}), times(3, request{})...)...)
}

func shortTTL(s *site) {
	storeFails(secrettest.Healthy)(s)
	s.env["ORGA_API_KEY_TTL"] = "1s"
}

// turn starts a TURN server over UDP for Orga's list; answer creates its response to every packet.
func turn(answer func(request []byte) []byte) func(*site) {
	return func(s *site) {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = conn.Close() })
		go func() {
			buf := make([]byte, 1500)
			for {
				n, from, err := conn.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo(answer(buf[:n]), from)
			}
		}()
		s.orga.Change(func(a *orgatest.API) {
			a.ICEServers = func(orgatest.Token) []orgatest.ICEServer {
				return []orgatest.ICEServer{{URLs: []string{"turn:" + conn.LocalAddr().String()}, Username: "u", Credential: "c"}}
			}
		})
	}
}

// refuses returns TURN's refusal of a credential: an error response of Allocate with the attribute ERROR-CODE.
func refuses(request []byte) []byte {
	return slices.Concat([]byte{0x01, 0x13, 0, 8}, request[4:20], []byte{0, 9, 0, 4, 0, 0, 4, 1})
}

// relays returns a success response of Allocate with the attribute XOR-RELAYED-ADDRESS.
func relays(request []byte) []byte {
	return slices.Concat([]byte{0x01, 0x03, 0, 12}, request[4:20], []byte{0, 0x16, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0})
}

// atGateway returns the environment of a canary that mints at the function, through the gateway.
func atGateway(*site, string) map[string]string { return nil }

// with returns a canary's environment with another setting.
func with(name, value string) func(*site, string) map[string]string {
	return func(*site, string) map[string]string { return map[string]string{name: value} }
}

func all(steps ...func(*site)) func(*site) {
	return func(s *site) {
		for _, step := range steps {
			step(s)
		}
	}
}

func times(n int, r request) []request { return slices.Repeat([]request{r}, n) }

var incidents = []incident{
	// The key and its store
	{name: "Orga refuses the key", set: func(s *site) { s.orga.AcceptKeys(orga.KeyPrefix + "another000000000000000000000") }, line: "orga mint: credential rejected (status 401", alarm: "KeyRefusedAlarm"},
	{name: "Orga refuses the account", set: orgaAnswers(orga.CallMint, orgatest.Status(403, "{}")), line: "orga mint: credential rejected (status 403", alarm: "KeyRefusedAlarm"},
	{name: "access to the secret is denied at start", set: storeFails(secrettest.Denied), line: "refused by the store", alarm: "SecretRefusedAlarm"},
	{name: "the secret is deleted at start", set: func(s *site) { storeFails(secrettest.Healthy)(s); s.store.Delete("orga/key") }, line: "refused by the store", alarm: "SecretRefusedAlarm"},
	{name: "the secret is JSON and no member is named", set: func(s *site) { storeFails(secrettest.Healthy)(s); s.store.Put("orga/key", `{"apiKey":"x"}`) }, line: "unusable secret:", alarm: "SecretRefusedAlarm"},
	{name: "the secret lacks the member", set: func(s *site) {
		s.env["ORGA_API_KEY_SOURCE"] = "awssm:orga/key#key"
		s.store.Put("orga/key", `{"apiKey":"x"}`)
	}, line: "unusable secret:", alarm: "SecretRefusedAlarm"},
	{name: "the secret is empty", set: func(s *site) { storeFails(secrettest.Healthy)(s); s.store.Put("orga/key", " ") }, line: "unusable secret:", alarm: "SecretRefusedAlarm"},
	{name: "the store is down at start", set: storeFails(secrettest.Down), line: "secret_unavailable", alarm: "NoSuccessAlarm"},
	{name: "the store throttles at start", set: storeFails(secrettest.Throttling), line: "secret_unavailable", alarm: "NoSuccessAlarm"},
	{name: "the variable of the key is not set", set: setting("ORGA_API_KEY", ""), line: "misconfigured", alarm: "MisconfiguredAlarm"},
	{name: "access to the secret is denied while a key is cached", set: shortTTL, requests: stale(func(s *site) { s.store.Fail(secrettest.Denied, 0) }), line: "refused by the store", alarm: "SecretRefusedAlarm"},
	{name: "the secret becomes unusable while a key is cached", set: shortTTL, requests: stale(func(s *site) { s.store.Put("orga/key", " ") }), line: "unusable secret:", alarm: "SecretRefusedAlarm"},
	{name: "the store is down while a key is cached", set: shortTTL, requests: stale(func(s *site) { s.store.Fail(secrettest.Down, 0) }), line: "secret fetch failed", alarm: "SecretFetchFailedAlarm"},
	{name: "the key is rotated", set: shortTTL, requests: stale(func(s *site) {
		s.store.Put("orga/key", orga.KeyPrefix+"another000000000000000000000")
		s.orga.AcceptKeys(orga.KeyPrefix + "another000000000000000000000")
	}), line: "secret rotated", reason: "the instance fetched the new key by itself"},

	// Orga
	{name: "Orga answers 500", set: orgaAnswers(orga.CallMint, orgatest.Status(500, "{}")), line: "orga mint: server error (status 500", alarm: "FastBurnAlarm"},
	{name: "Orga limits the account", set: orgaAnswers(orga.CallMint, orgatest.Status(429, "{}", "Retry-After", "60")), line: "orga mint: rate limited (status 429", alarm: "FastBurnAlarm"},
	{name: "Orga is down for maintenance", set: orgaAnswers(orga.CallMint, orgatest.Status(503, "{}", "Retry-After", "600")), line: "orga mint: server error (status 503", alarm: "FastBurnAlarm"},
	{name: "Orga hangs", set: all(setting("ORGA_TIMEOUT", "1s"), orgaAnswers(orga.CallMint, orgatest.Hang())), requests: times(2, request{}), line: "orga mint: timed out", alarm: "FastBurnAlarm"},
	{name: "Orga answers with a web page", set: orgaAnswers(orga.CallMint, orgatest.HTML()), line: "orga mint: unusable answer (status 200", alarm: "FastBurnAlarm"},
	{name: "Orga wants an email", set: orgaAnswers(orga.CallMint, orgatest.Status(422, "{}")), line: "orga mint: request rejected (status 422", alarm: "FastBurnAlarm"},
	{name: "Orga refuses its own token", set: orgaAnswers(orga.CallICE, orgatest.Status(401, "{}")), line: "orga ice: credential rejected (status 401", alarm: "FastBurnAlarm"},
	{name: "Orga's ICE call fails", set: orgaAnswers(orga.CallICE, orgatest.Status(500, "{}")), line: "orga ice: server error (status 500", alarm: "FastBurnAlarm"},
	{name: "tokens expire at once", set: func(s *site) { s.orga.Change(func(a *orgatest.API) { a.TTL = 5 * time.Second }) }, line: "Orga sent a token that expires within 15 s", alarm: "ShortLivedTokensAlarm"},
	{name: "Orga's clock is slow", set: func(s *site) { s.orga.Change(func(a *orgatest.API) { a.ClockSkew = -time.Hour }) }, line: "Orga sent a token that expires within 15 s", alarm: "ShortLivedTokensAlarm"},
	{name: "Orga has no ICE servers", set: orgaAnswers(orga.CallICE, orgatest.Status(200, `{"iceServers":[]}`)), line: "Orga sent no ICE servers", reason: "callers that need no relay connect; the line is a WARN, and make probe fails"},

	// Addresses
	{name: "nothing listens at the base URL", set: setting("ORGA_BASE_URL", "http://127.0.0.1:1"), line: "orga mint: connection failed: dial tcp", alarm: "FastBurnAlarm"},
	{name: "the base URL's host does not exist", set: setting("ORGA_BASE_URL", "https://orga.invalid"), line: "orga mint: connection failed: dial tcp", alarm: "FastBurnAlarm"},
	{name: "the certificate at the base URL is not trusted", set: func(s *site) {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		s.t.Cleanup(server.Close)
		s.env["ORGA_BASE_URL"] = server.URL
	}, line: "orga mint: connection failed: the certificate is not trusted", alarm: "FastBurnAlarm"},
	{name: "Orga closes connections", set: orgaAnswers(orga.CallMint, orgatest.Close()), line: "orga mint: connection failed", alarm: "FastBurnAlarm"},
	{name: "the base URL redirects", set: orgaAnswers(orga.CallMint, orgatest.Redirect("https://elsewhere.example/")), line: "orga mint: request rejected (status 307", alarm: "FastBurnAlarm"},

	// Callers
	{name: "the issuer is down", set: oidc, requests: times(5, request{headers: jwt("http://127.0.0.1:1")}), line: "auth_unavailable", alarm: "NoSuccessAlarm"},
	{name: "the issuer has changed its name", set: all(oidc, keySet), requests: times(5, request{headers: jwt("https://new.example")}), line: "oidc: the token's iss is not the configured issuer", alarm: "NoSuccessAlarm"},
	{name: "the issuer's key set is something else", set: func(s *site) {
		oidc(s)
		server := httptest.NewServer(orgatest.Status(200, `{"k1":"-----BEGIN CERTIFICATE-----"}`))
		s.t.Cleanup(server.Close)
		s.env["ORGA_AUTH_JWKS_URL"] = server.URL
	}, requests: times(5, request{headers: jwt("http://127.0.0.1:1")}), line: "the document is not a key set (JWKS)", alarm: "NoSuccessAlarm"},
	{name: "the issuer rotates its keys and is down", set: all(oidc, keySet), requests: []request{
		{headers: jwt("http://127.0.0.1:1")},
		{headers: newKey(), before: func(s *site) { s.issuer.Close() }}, {headers: newKey()}, {headers: newKey()}, {headers: newKey()},
	}, line: "no cached key has the token's id", alarm: "FastBurnAlarm"},
	{name: "apps ask for tokens of another audience", set: all(oidc, keySet), requests: times(5, request{headers: token("http://127.0.0.1:1", "another", time.Hour)}), line: "oidc: the token is for another audience", alarm: "NoSuccessAlarm"},
	{name: "the clock of the issuer is slow", set: all(oidc, keySet), requests: times(5, request{headers: token("http://127.0.0.1:1", "app", -time.Hour)}), line: "oidc: the token has expired", alarm: "NoSuccessAlarm"},
	{name: "tokens are signed with another key", set: all(oidc, keySet), requests: times(5, request{headers: forged("http://127.0.0.1:1")}), line: "oidc: no key of the issuer matches the signature", alarm: "NoSuccessAlarm"},
	{name: "apps send no credential", set: hmacAuth, line: "no accepted credential", alarm: "NoSuccessAlarm"},
	{name: "a backend's clock is wrong", set: hmacAuth, requests: times(5, request{headers: signed(time.Now().Add(-time.Hour))}), line: "hmac: ts is more than 5 minutes off", alarm: "NoSuccessAlarm"},
	{name: "a backend has another key", set: hmacAuth, requests: times(5, request{headers: signed(time.Now())}), line: "hmac: the signature does not match", alarm: "NoSuccessAlarm"},
	{name: "credentials are refused in a surge", set: hmacAuth, requests: times(15, request{}), line: "no accepted credential", alarm: "UnauthenticatedAlarm"},
	{name: "a new page is not listed", requests: times(15, request{headers: map[string]string{"origin": "https://new.example"}}), line: "the origin is not listed", alarm: "ForbiddenAlarm"},
	{name: "an unknown tenant", requests: times(5, request{path: "/api/orga-client-secrets/nobody"}), line: "unknown tenant", alarm: "NoSuccessAlarm"},
	{name: "callers ask for another tenant", set: all(tenants(acme), func(s *site) {
		maps.Copy(s.env, map[string]string{"ORGA_AUTH": "gateway", "ORGA_AUTH_TENANT_CLAIM": "org"})
	}), requests: times(15, request{path: "/api/orga-client-secrets/acme", claims: map[string]string{"sub": "someone", "org": "umbrella"}}), line: "the tenant claim does not match the route", alarm: "ForbiddenAlarm"},
	{name: "Orga refuses the key of one tenant", set: all(tenants(acme), func(s *site) { s.orga.AcceptKeys(orgatest.Key) }), requests: append(times(5, request{}), times(5, request{path: "/api/orga-client-secrets/acme"})...), line: "orga mint: credential rejected (status 401", alarm: "KeyRefusedAlarm"},

	// Settings
	{name: "ORGA_AUTH is not set", set: setting("ORGA_AUTH", ""), line: "misconfigured", alarm: "MisconfiguredAlarm"},
	{name: "a setting is wrong", set: setting("ORGA_TIMEOUT", "soon"), line: "misconfigured", alarm: "MisconfiguredAlarm"},
	{name: "a setting is misspelled", set: setting("ORGA_CORS_ORIGIN", "https://app.example"), line: "unknown setting", reason: "nobody is refused because of it; where somebody is, the alarm of that fires"},
	{name: "Orga answers 500, and the log level is error", set: all(setting("ORGA_LOG_LEVEL", "error"), orgaAnswers(orga.CallMint, orgatest.Status(500, "{}"))), line: "metrics", alarm: "FastBurnAlarm"},
	{name: "nothing, and the log level is warn", set: setting("ORGA_LOG_LEVEL", "warn"), line: "metrics", reason: "successes count at any level"},
	{name: "nobody can reach the endpoint but health checks, and the log level is debug", set: setting("ORGA_LOG_LEVEL", "debug"), requests: times(5, request{path: "/healthz"}), alarm: "QuietAlarm"},
	{name: "the tenants' document is broken", set: tenants(`{"tenants":[]}`), line: "misconfigured", alarm: "MisconfiguredAlarm"},
	{name: "the tenants' document may not be read", set: func(s *site) {
		s.env["ORGA_TENANTS_SOURCE"] = "awssm:orga/tenants"
		s.store.Fail(secrettest.Denied, 0)
	}, requests: times(5, request{path: "/api/orga-client-secrets/acme"}), line: "refused by the store", alarm: "SecretRefusedAlarm"},

	// Limits
	{name: "Redis is down", set: redis("redis://127.0.0.1:1"), line: "redis: dial tcp", alarm: "LimitFallbackAlarm"},
	{name: "Redis is down, and limits are strict", set: all(redis("redis://127.0.0.1:1"), setting("ORGA_RATE_LIMIT_STRICT", "true")), line: "redis: dial tcp", alarm: "FastBurnAlarm"},
	{name: "Redis' password is wrong", set: redisServer("redis://:wrong@ADDRESS", "--requirepass", "right"), line: "redis: the server refused: WRONGPASS", alarm: "LimitFallbackAlarm"},
	{name: "Redis wants a password", set: redisServer("redis://ADDRESS", "--requirepass", "right"), line: "redis: the server refused: NOAUTH", alarm: "LimitFallbackAlarm"},
	{name: "Redis is a read-only replica", set: replica, line: "redis: the server refused: READONLY", alarm: "LimitFallbackAlarm"},
	{name: "Redis is a read-only replica, and limits are strict", set: all(replica, setting("ORGA_RATE_LIMIT_STRICT", "true")), line: "redis: the server refused: READONLY", alarm: "FastBurnAlarm"},
	{name: "Redis is full", set: redisServer("redis://ADDRESS", "--maxmemory", "1"), line: "redis: the server refused: OOM", alarm: "LimitFallbackAlarm"},
	{name: "DynamoDB denies access", set: dynamo(func(w http.ResponseWriter, _ *http.Request) {
		ratelimittest.DynamoDBError(w, 400, "AccessDeniedException", nil)
	}), line: "dynamodb: AccessDeniedException", alarm: "LimitFallbackAlarm"},
	{name: "the table is missing", set: dynamo(func(w http.ResponseWriter, _ *http.Request) {
		ratelimittest.DynamoDBError(w, 400, "ResourceNotFoundException", nil)
	}), line: "dynamodb: ResourceNotFoundException", alarm: "LimitFallbackAlarm"},
	{name: "DynamoDB throttles", set: dynamo(func(w http.ResponseWriter, _ *http.Request) {
		ratelimittest.DynamoDBError(w, 400, "ProvisionedThroughputExceededException", nil)
	}), line: "dynamodb: ProvisionedThroughputExceededException", alarm: "LimitFallbackAlarm"},
	{name: "one caller asks in a loop", set: setting("ORGA_RATE_LIMIT", "2/1m"), requests: slices.Concat(times(6, request{from: "203.0.113.9"}), times(5, request{})), line: "rate_limited", reason: "the limit does what it is for, and all others succeed"},
	{name: "a tenant nears its budget", set: setting("ORGA_TENANT_RATE_LIMIT", "10/24h"), requests: times(9, request{}), line: "tenant budget at 80 percent", alarm: "TenantBudgetAlarm"},

	// Clients
	{name: "a client sends too much", requests: slices.Concat([]request{{body: `{"a":"` + strings.Repeat("a", 17<<10) + `"}`}}, times(4, request{})), line: "too_large", reason: "a client's mistake"},
	{name: "a client sends no JSON", requests: slices.Concat([]request{{body: "no"}}, times(4, request{})), line: "bad_request", reason: "a client's mistake"},
	{name: "a client sends a token of 20 KB", set: all(oidc, keySet), requests: times(15, request{headers: map[string]string{"authorization": "Bearer " + strings.Repeat("a", 20<<10)}}), line: "oidc: the token is too large", alarm: "UnauthenticatedAlarm"},
	{name: "a scanner asks for other paths", requests: append(times(20, request{path: "/wp-login.php", from: "203.0.113.9"}), times(5, request{})...), line: "not_found", reason: "nothing is minted, and callers are served"},
	{name: "clients disconnect", program: server, set: func(s *site) {
		s.orga.Fail(orga.CallMint, orgatest.Hang(), orgatest.Hang(), orgatest.Hang())
	}, requests: append(times(3, request{leaves: true}), times(2, request{})...), line: "client_gone", reason: "callers leave by themselves; if Orga is slow, LatencyAlarm says so"},
	{name: "nobody can reach the endpoint", requests: []request{}, alarm: "QuietAlarm"},

	// Instances
	{name: "a cold storm", instances: 12, line: "started", reason: "each instance's first caller waits for its start, and succeeds"},
	{name: "a cold storm that the secret store throttles at first", instances: 12, set: func(s *site) {
		storeFails(secrettest.Healthy)(s)
		s.store.Fail(secrettest.Throttling, 2) // a start makes three attempts
	}, line: "started", reason: "the start asks the store again, which secret_ms shows"},
	{name: "a request panics", program: panics, line: "panic", alarm: "InternalErrorsAlarm"},
	{name: "the process ends", program: ends, requests: times(1, request{}), alarm: "FastBurnAlarm"},

	// The canary
	{name: "TURN servers refuse the credential", set: turn(refuses), canary: atGateway, line: "canary: no TURN server relays", alarm: "CanaryFailedAlarm"},
	{name: "the domain is gone", requests: []request{}, canary: with("CANARY_URL", "https://orga.invalid/api/orga-client-secrets"), line: "canary: no answer", alarm: "CanaryFailedAlarm"},
	{name: "Orga answers 500, with a canary", set: orgaAnswers(orga.CallMint, orgatest.Status(500, "{}")), canary: atGateway, line: "canary: status", alarm: "CanaryFailedAlarm"},
	{name: "tokens expire at once, with a canary", set: func(s *site) { s.orga.Change(func(a *orgatest.API) { a.TTL = 5 * time.Second }) }, canary: atGateway, line: "canary: the token expires in", alarm: "CanaryFailedAlarm"},
	{name: "the canary may not read its key", canary: func(s *site, _ string) map[string]string {
		s.store.Fail(secrettest.Denied, 0)
		return map[string]string{"CANARY_HMAC_KEY_SOURCE": "awssm:orga/canary"}
	}, line: "canary: HMAC key", alarm: "CanaryFailedAlarm"},
	{name: "the canary does not run", stopped: true, alarm: "CanarySilentAlarm"},
	{name: "nothing, with a canary", set: turn(relays), canary: atGateway, reason: "nothing is wrong"},
}
