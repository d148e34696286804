// Package redislimit is the [ratelimit.Limiter] that counts in Redis, or in anything that speaks its protocol and
// runs Lua (Valkey, ElastiCache, Memorystore, Upstash). Each request costs one round trip, in which all of its
// buckets are decided atomically.
package redislimit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/internal/redisscript"
	"github.com/orga-session/orga-session/internal/neterror"
)

const (
	// budget bounds a decision, connecting included, so that a request is decided within 100 ms.
	budget = 80 * time.Millisecond
	// dialTimeout bounds connecting, TLS included. Connecting continues even if its request gives up, and the next request
	// uses the connection, so that even a distant store becomes usable.
	dialTimeout = time.Second
	// idleTimeout is shorter than the time after which load balancers and NAT gateways drop a silent connection.
	idleTimeout = time.Minute
)

type limiter struct {
	options *redis.Options
	batcher atomic.Pointer[batcher]
}

// Open is the [ratelimit.Driver] for redis://[user:password@]host[:port][/database]; rediss:// uses TLS 1.2 or later. It does
// not connect yet. Its error does not repeat the setting, which may contain a password.
//
// Open turns off go-redis's own log for the whole process, because it writes to standard error without slog. The errors of
// the limiter have the same information.
func Open(setting string) (ratelimit.Limiter, error) {
	u, err := url.Parse(setting)
	switch {
	case err != nil:
		return nil, errors.New("want redis://[user:password@]host[:port][/database]; characters of a password other than letters and digits are written as %XX")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, errors.New("want a redis:// or rediss:// URL")
	case u.Hostname() == "":
		return nil, errors.New("want a host, as in redis://host:6379")
	case !isPort(u.Port()) || strings.HasSuffix(u.Host, ":"):
		return nil, errors.New("want a port from 1 to 65535, as in redis://host:6379")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("want a URL without options; there are none to set")
	}
	options, err := redis.ParseURL(setting)
	if err != nil {
		return nil, errors.New("want nothing after the host but the number of a database, as in redis://host:6379/0")
	}
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1
	options.DialTimeout = dialTimeout
	options.DialerRetries = 1
	options.ReadTimeout = dialTimeout // an earlier deadline of the context takes precedence
	options.PoolTimeout = budget
	options.ConnMaxIdleTime = idleTimeout
	options.DisableIdentity = true // saves a round trip on each new connection
	options.PoolSize = maxRuns
	options.PipelinePoolSize = -1 // the whole pool is for pipelines
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	redis.SetLogger(silence{})
	l := &limiter{options: options}
	l.batcher.Store(l.connect())
	return l, nil
}

// isPort reports whether s is a valid port; "" is the default.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

func (l *limiter) connect() *batcher {
	options := *l.options // the client modifies it
	return &batcher{client: redis.NewClient(&options)}
}

// Allow implements [ratelimit.Limiter]. It returns within 100 ms. Its errors say what failed, but repeat only the word of a
// server's refusal.
func (l *limiter) Allow(ctx context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	b := l.batcher.Load()
	reply, err := b.eval(ctx, redisscript.Args(buckets))
	if err != nil {
		return nil, l.describe(b, err)
	}
	return redisscript.Decide(buckets, reply)
}

// Ping reports whether the store answers, and opens a connection for the first request.
func (l *limiter) Ping(ctx context.Context) error {
	b := l.batcher.Load()
	if err := b.client.Ping(ctx).Err(); err != nil {
		return l.describe(b, err)
	}
	return nil
}

// Close closes all connections.
func (l *limiter) Close() error { return l.batcher.Load().client.Close() }

// describe returns the safe part of an error: the word of a server's refusal (NOAUTH, WRONGPASS, OOM), or what this side knows
// of the failure. If a replica answered, it drops b's connections, because the name of a
// primary that has moved now resolves elsewhere.
func (l *limiter) describe(b *batcher, err error) error {
	refusal, ok := errors.AsType[redis.Error](err)
	switch {
	case errors.Is(err, redis.Nil):
		return fmt.Errorf("redis: %w", redisscript.ErrAnswer)
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrClosed):
		return err // these start with redis:
	case !ok:
		return fmt.Errorf("redis: %w", neterror.Describe(err))
	}
	word := redisscript.Refusal(refusal.Error())
	if word == "READONLY" && l.batcher.CompareAndSwap(b, l.connect()) {
		_ = b.client.Close() // decisions in flight would be refused as well
	}
	return fmt.Errorf("redis: the server refused: %s", word)
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
