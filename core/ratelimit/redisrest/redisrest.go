// Package redisrest is the [ratelimit.Limiter] that counts in Redis over HTTPS, with Upstash's REST API: for platforms
// without TCP (Cloudflare Workers), or without a direct connection to Redis. It runs the same script as package redislimit,
// with the same keys. A decision is one request.
package redisrest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/orga-session/orga-session/core/internal/netaddr"
	"github.com/orga-session/orga-session/core/internal/storehttp"
	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/internal/redisscript"
	"github.com/orga-session/orga-session/internal/neterror"
)

// maxAnswer bounds how much of an answer is read, in bytes.
const maxAnswer = 16 << 10

type limiter struct {
	address string
	token   string
	client  *http.Client
}

// Open returns the [ratelimit.Driver] for https://TOKEN@HOST. In the token, characters other than letters and digits may be
// written as %XX. Plain http is accepted for a loopback host. client sends the requests; nil uses a default, and a platform
// without sockets passes its own.
func Open(client *http.Client) ratelimit.Driver {
	if client == nil {
		client = storehttp.New()
	}
	return func(setting string) (ratelimit.Limiter, error) {
		u, err := url.Parse(setting)
		switch {
		case err != nil:
			return nil, errors.New("want https://TOKEN@HOST; characters of the token other than letters and digits are written as %XX")
		case u.Hostname() == "" || !netaddr.IsSecure(u):
			return nil, errors.New("want https://TOKEN@HOST")
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			return nil, errors.New("want nothing after the host, as in https://TOKEN@HOST")
		}
		token := u.User.Username()
		if password, ok := u.User.Password(); ok { // default:TOKEN, as in a redis: URL
			token = password
		}
		if token == "" || strings.ContainsAny(token, " \t\r\n") {
			return nil, errors.New("want a token, as in https://TOKEN@HOST")
		}
		return &limiter{address: u.Scheme + "://" + u.Host + "/", token: token, client: client}, nil
	}
}

// Allow implements [ratelimit.Limiter]. The endpoint bounds its duration. Its errors repeat only the word of a server's
// refusal.
func (l *limiter) Allow(ctx context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	args := redisscript.Args(buckets)
	var reply []int64
	err := l.do(ctx, &reply, append([]string{"EVALSHA", redisscript.SHA1}, args...))
	if refusal, ok := errors.AsType[refusedError](err); ok && refusal == "NOSCRIPT" { // the server has just started
		err = l.do(ctx, &reply, append([]string{"EVAL", redisscript.Source}, args...))
	}
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return redisscript.Decide(buckets, reply)
}

// Ping reports whether the store answers, and opens a connection for the first request.
func (l *limiter) Ping(ctx context.Context) error {
	var pong string
	if err := l.do(ctx, &pong, []string{"PING"}); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Close closes idle connections.
func (l *limiter) Close() error {
	l.client.CloseIdleConnections()
	return nil
}

// refusedError is the word of a refusal.
type refusedError string

func (e refusedError) Error() string { return "the server refused: " + string(e) }

// do runs a command and parses its result.
func (l *limiter) do(ctx context.Context, result any, command []string) error {
	body, err := json.Marshal(command)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+l.token)
	r.Header.Set("Content-Type", "application/json")
	// Lets net/http resend the request if a kept connection turns out to be closed. At worst, a request counts twice.
	r.Header["Idempotency-Key"] = nil // not sent
	resp, err := l.client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			l.client.CloseIdleConnections() // other connections may have died, too
			return ctx.Err()
		}
		return neterror.Describe(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return neterror.Describe(err)
	}
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	parsed := json.Unmarshal(text, &answer) == nil
	switch {
	case parsed && answer.Error != "":
		return refusedError(redisscript.Refusal(answer.Error))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	case !parsed || json.Unmarshal(answer.Result, result) != nil:
		return redisscript.ErrAnswer
	}
	return nil
}
