// Package canary mints at a deployed endpoint as an app does, on a schedule, so that a fault shows before a user
// reports it. It checks what the endpoint's own log cannot show: DNS, the certificate, the gateway, and whether the
// session config that arrives can be used. It is the CanaryFunction of template.yaml.
package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/secret"
)

// Handler is the function's handler in template.yaml. The binary is the endpoint's own.
const Handler = "canary"

const (
	mintTimeout = 10 * time.Second // as long as apps wait
	minLife     = 15 * time.Second // what a client needs to connect
	maxBody     = 1 << 20
)

// Canary checks one endpoint. It is safe for concurrent use.
type Canary struct {
	// URL is where to mint.
	URL string
	// HMACKey signs the request; nil sends no credential.
	HMACKey secret.Source
	// Log gets one line a run, with the attribute metric: canary_ok or canary_failed.
	Log *slog.Logger

	fault error // of the settings; each run reports it
}

// FromEnv makes the canary of a function: it mints at CANARY_URL, and signs with the key of CANARY_HMAC_KEY_SOURCE, in
// the syntax of ORGA_API_KEY_SOURCE, if that is set.
func FromEnv(env core.Env, stores map[string]secret.Driver, log *slog.Logger) *Canary {
	c := &Canary{URL: env["CANARY_URL"], Log: log}
	if ref := env["CANARY_HMAC_KEY_SOURCE"]; ref != "" {
		if c.HMACKey, c.fault = secret.Open(ref, stores, env.Lookup, nil); c.fault != nil {
			c.fault = fmt.Errorf("canary: CANARY_HMAC_KEY_SOURCE: %w", c.fault)
		}
	}
	return c
}

// Result is what came of a run. Each failure has a Cause that docs/operate.md explains.
type Result struct {
	OK        bool   `json:"ok"`
	Cause     string `json:"cause,omitempty"`
	RequestID string `json:"requestId,omitempty"` // of the mint, as in the endpoint's log
}

// Run mints once, checks the session config and logs the result. Its error is always nil: Lambda would run a failed
// invocation again.
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

// check returns what it learned even if it fails.
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

// mint asks for a session config. status is 0 if no answer came.
func (c *Canary) mint(ctx context.Context) (config orga.SessionConfig, status int, requestID string, err error) {
	ctx, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	req, err := c.request(ctx)
	if err != nil {
		return config, 0, "", err
	}
	// A connection of its own for each run: it must resolve the name and verify the certificate, as a new user does.
	transport := &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return config, 0, "", fmt.Errorf("canary: no answer: %w", inner(err))
	}
	defer resp.Body.Close()
	status = resp.StatusCode
	if id := resp.Header.Get("X-Request-Id"); isID(id) {
		requestID = id
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case err != nil:
		return config, status, requestID, fmt.Errorf("canary: the answer broke off: %w", err)
	case status != http.StatusOK:
		var problem struct{ Code string }
		if json.Unmarshal(body, &problem) != nil || !isID(problem.Code) { // not every gateway's answer has one
			problem.Code = "no code"
		}
		return config, status, requestID, fmt.Errorf("canary: status %d (%s)", status, problem.Code)
	}
	if err := json.Unmarshal(body, &config); err != nil {
		return config, status, requestID, fmt.Errorf("canary: unusable answer: %w", err)
	}
	return config, status, requestID, nil
}

// request is the mint's, signed if there is a key.
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

// inner is an error of the client without the address, which is always the same.
func inner(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// isID reports whether a text of an answer, which may come from somebody else than the endpoint, is a code or an id
// that can be logged.
func isID(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/="
	return s != "" && len(s) <= 128 && strings.Trim(s, allowed) == ""
}
