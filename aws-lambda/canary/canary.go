// Package canary mints at a deployed endpoint on a schedule, as an app does, to detect faults before users report them. It
// checks what the endpoint's own log cannot show: DNS, the certificate, the gateway, and whether the session config is
// usable. It is the CanaryFunction of template.yaml.
package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/internal/neterror"
)

// Handler is the function's handler in template.yaml. The binary is the same as the endpoint's.
const Handler = "canary"

const (
	mintTimeout = 10 * time.Second // as long as apps wait for the endpoint
	minLife     = 15 * time.Second // time that a client needs to connect
	maxBody     = 1 << 20
)

// Canary checks one endpoint. It is safe for concurrent use.
type Canary struct {
	// URL is the address of the mint route.
	URL string
	// HMACKey signs the request; nil sends no credential.
	HMACKey secret.Source
	// Log gets one line per run, with the attribute metric: canary_ok or canary_failed.
	Log *slog.Logger

	fault error // of the settings; reported by each run
}

// FromEnv returns the canary of a function: it mints at CANARY_URL and, if CANARY_HMAC_KEY_SOURCE is set (in the syntax of
// ORGA_API_KEY_SOURCE), signs with its key.
func FromEnv(env core.Env, stores map[string]secret.Driver, log *slog.Logger) *Canary {
	c := &Canary{URL: env["CANARY_URL"], Log: log}
	if ref := env["CANARY_HMAC_KEY_SOURCE"]; ref != "" {
		if c.HMACKey, c.fault = secret.Open(ref, stores, env.Lookup, nil); c.fault != nil {
			c.fault = fmt.Errorf("canary: CANARY_HMAC_KEY_SOURCE: %w", c.fault)
		}
	}
	return c
}

// Result is the result of a run. docs/operate.md explains each Cause.
type Result struct {
	OK        bool   `json:"ok"`
	Cause     string `json:"cause,omitempty"`
	RequestID string `json:"requestId,omitempty"` // of the mint, as in the endpoint's log
}

// Run mints once, checks the session config and logs the result. Its error is always nil, because Lambda would retry a
// failed invocation.
func (c *Canary) Run(ctx context.Context) (Result, error) {
	attrs, requestID, err := c.check(ctx)
	if requestID != "" {
		attrs = append(attrs, slog.String("request_id", requestID))
	}
	if err != nil {
		attrs = append(attrs, slog.String("cause", err.Error()), slog.String("metric", "canary_failed"))
		c.Log.LogAttrs(ctx, slog.LevelError, "canary failed", attrs...)
		return Result{Cause: err.Error(), RequestID: requestID}, nil
	}
	c.Log.LogAttrs(ctx, slog.LevelInfo, "canary", append(attrs, slog.String("metric", "canary_ok"))...)
	return Result{OK: true, RequestID: requestID}, nil
}

// check returns its findings even if it fails.
func (c *Canary) check(ctx context.Context) (attrs []slog.Attr, requestID string, err error) {
	if c.fault != nil {
		return nil, "", c.fault
	}
	begun := time.Now()
	config, status, requestID, err := c.mint(ctx)
	if status != 0 {
		attrs = append(attrs, slog.Int("http.response.status_code", status), millis("total_ms", time.Since(begun)))
	}
	if err != nil {
		return attrs, requestID, err
	}
	if at := config.Token.ExpiresAt; !at.IsZero() {
		attrs = append(attrs, slog.String("token_expires_at", at.UTC().Format(time.RFC3339)))
		if left := time.Until(at); left < minLife {
			return attrs, requestID, fmt.Errorf("canary: the token expires in %.0f s; clients need 15 s", left.Seconds())
		}
	}
	begun = time.Now()
	relays, failures := allocate(ctx, config.ICEServers)
	if len(relays) > 0 {
		attrs = append(attrs, slog.String("turn", strings.Join(relays, " ")), millis("turn_ms", time.Since(begun)))
	}
	if failed := strings.Join(failures, "; "); failed != "" && len(relays) == 0 {
		err = errors.New("canary: no TURN server relays: " + failed)
	} else if failed != "" {
		attrs = append(attrs, slog.String("turn_failed", failed))
	}
	return attrs, requestID, err
}

func millis(name string, d time.Duration) slog.Attr {
	return slog.Float64(name, float64(d.Microseconds())/1000)
}

// mint requests a session config. status is 0 without an answer.
func (c *Canary) mint(ctx context.Context) (config orga.SessionConfig, status int, requestID string, err error) {
	ctx, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	req, err := c.request(ctx)
	if err != nil {
		return config, 0, "", err
	}
	// Use a new connection for each run, to resolve the name and verify the certificate like a new user.
	transport := &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return config, 0, "", fmt.Errorf("canary: no answer: %w", neterror.Describe(err))
	}
	defer resp.Body.Close()
	status = resp.StatusCode
	if id := resp.Header.Get("X-Request-Id"); isID(id) {
		requestID = id
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case err != nil:
		return config, status, requestID, fmt.Errorf("canary: the answer broke off: %w", neterror.Describe(err))
	case status != http.StatusOK:
		var problem struct{ Code string }
		if json.Unmarshal(body, &problem) != nil || !isID(problem.Code) { // not every gateway's answer is JSON with a code
			problem.Code = "no code"
		}
		return config, status, requestID, fmt.Errorf("canary: status %d (%s)", status, problem.Code)
	}
	if err := json.Unmarshal(body, &config); err != nil {
		return config, status, requestID, fmt.Errorf("canary: unusable answer: %w", err)
	}
	return config, status, requestID, nil
}

// request returns the mint request, signed if there is a key.
func (c *Canary) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil || req.URL.Host == "" {
		return nil, errors.New("canary: CANARY_URL must be an address, such as https://voice.example.com/api/orga-client-secrets")
	}
	req.Header.Set("User-Agent", "orga-session-canary/"+core.Version)
	if c.HMACKey == nil {
		return req, nil
	}
	keys, err := c.HMACKey.Fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("canary: HMAC key: %w", err)
	}
	key, _, _ := strings.Cut(keys.Value.Reveal(), "\n") // the first of two, during a rotation
	if err := auth.SignRequest(req, strings.TrimSpace(key), "canary"); err != nil {
		return nil, fmt.Errorf("canary: %w", err)
	}
	return req, nil
}

// isID reports whether text from an answer has the form of a code or an ID. Other text, which may not come from the
// endpoint, is not logged.
func isID(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/="
	return s != "" && len(s) <= 128 && strings.Trim(s, allowed) == ""
}
