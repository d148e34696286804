package core_test

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/redislimit"
	"github.com/orga-session/orga-session/core/ratelimit/redisrest"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/gcpsm"
)

// answering starts a server that answers everything with the same bytes, and returns its address.
func answering(t *testing.T, answer string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 16<<10))
				_, _ = io.WriteString(conn, answer)
			}()
		}
	}()
	return listener.Addr().String()
}

// fault 88: no server that the endpoint asks can write its own text into the log, or fill it.
func TestPeersTextIsNotLogged(t *testing.T) {
	const word = "written-by-the-peer"
	long := strings.Repeat(word+" ", 50_000/len(word))
	quoted := fmt.Sprintf("%q", long)
	answers := map[string]string{
		"status line":       long + "\r\n\r\n",
		"status code":       "HTTP/1.1 " + long + "\r\n\r\n",
		"status text":       "HTTP/1.1 500 " + long + "\r\nContent-Length: 0\r\n\r\n",
		"header":            "HTTP/1.1 200 OK\r\n" + long + "\r\n\r\n",
		"header name":       "HTTP/1.1 200 OK\r\n" + word + "\x00" + word + ": x\r\n\r\n",
		"Content-Length":    "HTTP/1.1 200 OK\r\nContent-Length: " + long + "\r\n\r\n",
		"Transfer-Encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + long + "\r\n\r\n",
		"chunk":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + word + "\r\n" + word,
		"trailer":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + word + "\x00\r\n\r\n",
		"Content-Encoding":  "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 19\r\n\r\n" + word,
		"redirect":          "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:1/" + word + "%zz\r\n\r\n",
		"body":              fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(long), long),
		"members":           answerJSON(200, `{"SecretString":`+quoted+`,"VersionId":`+quoted+`,"name":`+quoted+`,"payload":{"data":"`+word+`"},"issuer":1,"result":`+quoted+`,"ephemeral_token":[`+quoted+`],"keys":`+quoted+`}`),
		"version":           answerJSON(200, `{"SecretString":"x","VersionId":`+quoted+`,"name":`+quoted+`,"payload":{"data":"eA=="}}`),
		"error":             answerJSON(400, `{"__type":`+quoted+`,"Message":`+quoted+`,"error":{"code":`+quoted+`,"type":`+quoted+`,"status":`+quoted+`,"message":`+quoted+`}}`),
		"error text":        answerJSON(400, `{"error":`+quoted+`}`),
		"Redis's refusal":   "-ERR " + long + "\r\n-ERR " + long + "\r\n-ERR " + long + "\r\n",
		"Redis's status":    "+" + long + "\r\n+" + long + "\r\n+" + long + "\r\n",
		"Redis's number":    ":" + long + "\r\n*" + long + "\r\n$" + long + "\r\n",
	}
	aws := func(variable string) func(string) env {
		return func(address string) env {
			return env{variable: "http://" + address, "ORGA_AWS_REGION": "eu-west-1", "ORGA_AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "ORGA_AWS_SECRET_ACCESS_KEY": "not-a-secret"}
		}
	}
	with := func(set env, name, value string) env {
		set[name] = value
		return set
	}
	for name, peer := range map[string]struct {
		settings func(address string) env
		logged   string
	}{
		"Orga":        {func(a string) env { return env{"ORGA_BASE_URL": "http://" + a} }, `"cause":"orga mint: `},
		"issuer":      {func(a string) env { return env{"ORGA_AUTH_ISSUER": "http://" + a} }, "issuer key fetch failed"},
		"issuer keys": {func(a string) env { return env{"ORGA_AUTH_ISSUER": "us", "ORGA_AUTH_JWKS_URL": "http://" + a} }, "issuer key fetch failed"},
		"awssm": {func(a string) env {
			return with(aws("AWS_ENDPOINT_URL_SECRETS_MANAGER")(a), "ORGA_API_KEY_SOURCE", "awssm:orga")
		}, "secret fetch failed"},
		"gcpsm": {func(a string) env {
			return env{"ORGA_GCPSM_ENDPOINT": "http://" + a, "ORGA_API_KEY_SOURCE": "gcpsm:projects/p1/secrets/orga"}
		}, "secret fetch failed"},
		"tenants": {func(a string) env {
			return env{"ORGA_GCPSM_ENDPOINT": "http://" + a, "ORGA_TENANTS_SOURCE": "gcpsm:projects/p1/secrets/orga"}
		}, "secret fetch failed"},
		"redis":     {func(a string) env { return env{"ORGA_RATE_LIMIT_STORE": "redis://" + a} }, "rate limit store unavailable"},
		"redisrest": {func(a string) env { return env{"ORGA_RATE_LIMIT_STORE": "http://token@" + a} }, "rate limit store unavailable"},
		"dynamodb": {func(a string) env {
			return with(aws("AWS_ENDPOINT_URL_DYNAMODB")(a), "ORGA_RATE_LIMIT_STORE", "dynamodb:limits")
		}, "rate limit store unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wg sync.WaitGroup // t.Parallel would run only two at a time, and each waits between its attempts
			for what, answer := range answers {
				vars := env{"ORGA_API_KEY": orgatest.Key, "ORGA_AUTH": "anonymous", "ORGA_BASE_URL": "http://127.0.0.1:1", "ORGA_TIMEOUT": "2s", "ORGA_DEBUG": "true"}
				maps.Copy(vars, peer.settings(answering(t, answer)))
				path, credential := mintPath, ""
				if iss := vars["ORGA_AUTH_ISSUER"]; iss != "" {
					vars["ORGA_AUTH"], vars["ORGA_AUTH_AUDIENCE"] = "oidc", "voice"
					credential = unsignedToken(iss)
				}
				if vars["ORGA_TENANTS_SOURCE"] != "" {
					path += "/acme"
				}
				d := &deployment{log: new(logBuffer)}
				cfg := core.ConfigFromEnv(core.Env(vars))
				cfg.Log = slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				lookup := core.Env(vars).Lookup
				wg.Go(func() {
					d.start(t, cfg, core.Drivers{
						Secrets: map[string]secret.Driver{"awssm": awssm.Open(lookup, false), "gcpsm": gcpsm.Open(lookup)},
						Limiters: map[string]ratelimit.Driver{
							"redis": redislimit.Open, "http": redisrest.Open(nil), "dynamodb": dynamolimit.Open(lookup, false),
						},
					})
					if a := d.ask("GET", path, "Authorization", credential); a.StatusCode < 500 || d.fault != nil {
						t.Errorf("%s: %d %s, %v", what, a.StatusCode, a.body, d.fault)
					}
					if usable := what == "version" || what == "members"; !usable && !strings.Contains(d.log.String(), peer.logged) {
						t.Errorf("%s: nothing is logged of the peer: %s", what, d.log)
					}
					for line := range strings.Lines(d.log.String()) {
						if strings.Contains(line, word) || len(line) > 2<<10 {
							t.Errorf("%s: %d bytes: %.300s", what, len(line), line)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func answerJSON(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}
