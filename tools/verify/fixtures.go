package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/secrettest"
	"github.com/orga-session/orga-session/tools/procgroup"
)

const (
	region  = "eu-central-1"
	hmacKey = "a-key-that-only-this-verification-has"
)

// fixtures is shared by all endpoints: the page whose origin they list, the limiter store and the secret stores. Each
// deployment has its own Orga API.
type fixtures struct {
	page         net.Listener
	origin       string // of the page; the only listed one
	redis        *procgroup.Process
	redisAddr    string
	moto         *httptest.Server // a proxy in front of moto that counts calls
	google       secrettest.Google
	googleServer *httptest.Server
	databases    int

	mu          sync.Mutex
	secretCalls map[string]int // secret → GetSecretValue calls that moto received

	dynamo     sync.Mutex  // serializes calls to DynamoDB: moto is not atomic across threads
	dynamoDown atomic.Bool // DynamoDB answers every call with an error
}

func (s *suite) startFixtures(ctx context.Context) error {
	var err error
	if s.fixtures.page, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	s.fixtures.origin = fmt.Sprintf("http://localhost:%d", s.fixtures.page.Addr().(*net.TCPAddr).Port)
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	s.fixtures.redisAddr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	s.fixtures.redis, err = s.start(ctx, listens(s.fixtures.redisAddr), s.scratch, nil, "redis-server",
		"--bind", "127.0.0.1", "--port", fmt.Sprint(ports[0]), "--save", "", "--appendonly", "no")
	if err != nil {
		return err
	}
	s.fixtures.googleServer = httptest.NewServer(&s.fixtures.google)
	return s.startMoto(ctx, ports[1])
}

func (s *suite) startMoto(ctx context.Context, port int) error {
	s.fixtures.secretCalls = make(map[string]int)
	base := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	if _, err := s.start(ctx, listens(base.Host), s.scratch, nil, filepath.Join(s.awsBin, "moto_server"),
		"-H", "127.0.0.1", "-p", fmt.Sprint(port)); err != nil {
		return err
	}
	proxy := httputil.NewSingleHostReverseProxy(base)
	s.fixtures.moto = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // moto rejects a truncated body
		if target := r.Header.Get("X-Amz-Target"); strings.HasPrefix(target, "DynamoDB_") {
			if s.fixtures.dynamoDown.Load() {
				http.Error(w, "out", http.StatusInternalServerError)
				return
			}
			s.fixtures.dynamo.Lock()
			defer s.fixtures.dynamo.Unlock()
		}
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetSecretValue") {
			var call struct {
				SecretID string `json:"SecretId"`
			}
			_ = json.Unmarshal(body, &call)
			s.fixtures.mu.Lock()
			s.fixtures.secretCalls[call.SecretID]++
			s.fixtures.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	return nil
}

// putSecret creates a secret in moto and returns its ARN.
func (s *suite) putSecret(ctx context.Context, name, value string) (arn string, err error) {
	var made struct{ ARN string }
	err = callAWS(ctx, s.fixtures.moto.URL, "secretsmanager.CreateSecret", map[string]string{"Name": name, "SecretString": value}, &made)
	if err != nil || made.ARN == "" {
		return "", fmt.Errorf("moto made no secret %s: %w", name, err)
	}
	return made.ARN, nil
}

// createTable creates a limits table in moto, like template.yaml's.
func createTable(ctx context.Context, moto, name string) error {
	return callAWS(ctx, moto, "DynamoDB_20120810.CreateTable", map[string]any{
		"TableName": name, "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions": []map[string]string{{"AttributeName": "id", "AttributeType": "S"}},
		"KeySchema":            []map[string]string{{"AttributeName": "id", "KeyType": "HASH"}},
	}, new(any))
}

// callAWS calls an operation of an AWS service at moto.
func callAWS(ctx context.Context, moto, operation string, input, output any) error {
	body, err := json.Marshal(input)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, moto, bytes.NewReader(body))
	if err != nil {
		return err
	}
	service, _, _ := strings.Cut(strings.ToLower(operation), ".")
	service, _, _ = strings.Cut(service, "_")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", operation)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=verify/20260101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", operation, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(output)
}

// deployment is a platform's configuration: an Orga API, and keys that only this API accepts.
type deployment struct {
	orga           *orgatest.API
	key, tenantKey string
	env            map[string]string // settings that all platforms share
}

func (s *suite) deployment(name string) *deployment {
	word := strings.ToLower(strings.ReplaceAll(name, "/", "-"))
	d := &deployment{orga: new(orgatest.API), key: orga.KeyPrefix + "test_" + word, tenantKey: orga.KeyPrefix + "test_tenant_" + word}
	d.orga.AcceptKeys(d.key, d.tenantKey)
	s.fixtures.databases++
	d.env = map[string]string{
		"ORGA_BASE_URL":          httptest.NewServer(d.orga).URL,
		"ORGA_AUTH":              "anonymous",
		"ORGA_CORS_ORIGINS":      s.fixtures.origin,
		"ORGA_RATE_LIMIT":        "off",
		"ORGA_RATE_LIMIT_STORE":  fmt.Sprintf("redis://%s/%d", s.fixtures.redisAddr, s.fixtures.databases),
		"ORGA_RATE_LIMIT_STRICT": "true",
		"ORGA_TIMEOUT":           "2s",
		"ORGA_AUTH_AUDIENCE":     "verify",
		"ORGA_AUTH_ISSUER":       unreachableIssuer,
		"ORGA_LOG_LEVEL":         "warn",
	}
	return d
}

// tenants returns the tenants of the conformance rows. ownKey is the source of this platform's tenant key, missing a
// source without a secret.
func (s *suite) tenants(ownKey, missing string) string {
	tenant := func(members ...string) map[string]string {
		t := map[string]string{"apiKeySource": ownKey}
		for i := 0; i < len(members); i += 2 {
			t[members[i]] = members[i+1]
		}
		return t
	}
	document, err := json.Marshal(map[string]any{"tenants": map[string]any{
		"acme":    tenant(),
		"limited": tenant("rateLimit", "1/1h"),
		"counted": tenant("rateLimit", "1000/1h"),
		"signed":  tenant("auth", "hmac"),
		"issued":  tenant("auth", "oidc"),
		"nostore": tenant("apiKeySource", missing),
	}})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(document)
}

// awsSettings returns the settings for awssm: outside AWS, with moto as AWS.
func (s *suite) awsSettings() map[string]string {
	return map[string]string{
		"ORGA_AWS_REGION": region, "ORGA_AWS_ACCESS_KEY_ID": "verify", "ORGA_AWS_SECRET_ACCESS_KEY": "none",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": s.fixtures.moto.URL,
	}
}

// settingsInEnvironment returns all settings of a platform that keeps tenants and keys in its environment.
func (s *suite) settingsInEnvironment(d *deployment) map[string]string {
	env := maps.Clone(d.env)
	maps.Copy(env, s.awsSettings())
	maps.Copy(env, map[string]string{
		"ORGA_API_KEY": d.key, "ORGA_API_KEY_TENANT": d.tenantKey, "VERIFY_HMAC_KEY": hmacKey,
		"ORGA_AUTH_HMAC_KEY_SOURCE": "env:VERIFY_HMAC_KEY",
		"VERIFY_TENANTS":            s.tenants("env:ORGA_API_KEY_TENANT", "awssm:orga/nowhere"),
		"ORGA_TENANTS_SOURCE":       "env:VERIFY_TENANTS",
	})
	return env
}

// startReference starts the reference in this process: the core behind net/http.
func (s *suite) startReference(ctx context.Context) (*endpoint, error) {
	d := s.deployment(plain)
	env := core.Env(s.settingsInEnvironment(d))
	cfg := core.ConfigFromEnv(env)
	cfg.Log = slog.New(slog.DiscardHandler)
	h := core.New(ctx, cfg, core.Drivers{
		Secrets:  map[string]secret.Driver{"awssm": awssm.Open(env.Lookup, false)},
		Limiters: map[string]ratelimit.Driver{"redis": redislimit.Open, "dynamodb": dynamolimit.Open(env.Lookup, false)},
	})
	if err := h.Faults(); err != nil {
		return nil, err
	}
	return &endpoint{name: plain, orga: d.orga, transport: overHTTP{base: httptest.NewServer(h).URL}}, nil
}

// environ returns env as NAME=value entries.
func environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}
