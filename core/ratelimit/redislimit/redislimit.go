// Package redislimit is the ratelimit.Limiter that instances share: it counts in Redis, or in anything that
// speaks its protocol and runs Lua (Valkey, ElastiCache, Memorystore, Upstash). Each request costs one
// round trip, in which it is counted atomically.
package redislimit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/orga-session/orga-session/core/ratelimit"
)

const (
	// budget is how long a decision may take, connecting included: a request is decided within 100 ms.
	budget = 80 * time.Millisecond
	// dialTimeout bounds the opening of a connection, TLS included. It goes on when the request that
	// wanted it has given up, and the next one finds it open: so a store that is far away comes into
	// use as well.
	dialTimeout = time.Second
	// idleTimeout is less than load balancers and NAT gateways drop a silent connection after.
	idleTimeout = time.Minute
	// prefix keeps our keys apart from others in the same database; redis_rate puts "rate:" before it.
	prefix = "orga-session:"
)

var errShape = errors.New("redis: the server's answer is not of the shape that it should have")

// Limiter counts in Redis. It is safe for concurrent use; make one with New.
type Limiter struct {
	client *redis.Client
	rate   *redis_rate.Limiter
}

var _ ratelimit.Limiter = (*Limiter)(nil)

// New makes a Limiter of a URL, redis://[user:password@]host[:port][/database]; rediss:// for TLS, 1.2
// at least. It connects to nothing yet. Its error holds nothing of the URL, which has a password in it.
//
// The client's own log, which goes to standard error past every slog.Logger, is turned off for the
// whole process: what it says is in the errors of Allow.
func New(rawURL string) (*Limiter, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL; characters of a password other than letters and digits are written as %XX")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, errors.New("is not a redis:// or rediss:// URL")
	case u.Hostname() == "":
		return nil, errors.New("is a URL without a host")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("is a URL with options; there are none to set")
	}
	options, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, errors.New("is a URL that goes on after its host with something other than the number of a database")
	}
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1
	options.DialTimeout = dialTimeout
	options.DialerRetries = 1
	options.ReadTimeout = dialTimeout // a context with less time left wins
	options.PoolTimeout = budget
	options.ConnMaxIdleTime = idleTimeout
	options.DisableIdentity = true // a round trip less on a new connection
	options.PoolSize = maxTrips
	options.PipelinePoolSize = -1 // the pool is all for pipelines
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	redis.SetLogger(silence{})
	client := redis.NewClient(options)
	return &Limiter{client: client, rate: redis_rate.NewLimiter(&gathered{Client: client})}, nil
}

// Allow implements ratelimit.Limiter. It answers or fails within 100 ms. Its errors say what failed, and
// nothing that the server said: some repeat the command, and the password with it.
func (l *Limiter) Allow(ctx context.Context, key string, q ratelimit.Quota) (_ ratelimit.Decision, err error) {
	defer catchShape(&err)
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	// With the quota in the key, another one starts whole: what was used of 3/24h would keep a caller out
	// of 100/1m for the rest of the day.
	key = fmt.Sprintf("%s%s:%d/%s", prefix, key, q.N, q.Per)
	res, err := l.rate.Allow(ctx, key, redis_rate.Limit{Rate: q.N, Burst: q.N, Period: q.Per})
	if err != nil {
		return ratelimit.Decision{}, describe(err)
	}
	return ratelimit.Decision{
		Allowed:   res.Allowed > 0,
		Remaining: res.Remaining,
		Retry:     max(0, res.RetryAfter), // -1 for one that was allowed
		Reset:     res.ResetAfter,
	}, nil
}

// catchShape makes an error of the panic that an answer of another shape (a broken proxy's) causes:
// redis_rate takes the shape for granted.
func catchShape(err *error) {
	switch v := recover().(type) {
	case nil:
	case runtime.Error:
		*err = errShape
	default:
		panic(v)
	}
}

// Ping tells whether the store answers, and leaves a connection open for the first request.
func (l *Limiter) Ping(ctx context.Context) error {
	if err := l.client.Ping(ctx).Err(); err != nil {
		return describe(err)
	}
	return nil
}

// Close ends all connections.
func (l *Limiter) Close() error { return l.client.Close() }

// describe keeps of a server's refusal its first word (NOAUTH, WRONGPASS, OOM, LOADING), of an answer that
// cannot be read nothing, and of any other error all.
func describe(err error) error {
	refusal, ok := errors.AsType[redis.Error](err)
	switch {
	case !ok && isShape(err):
		return errShape
	case !ok:
		return fmt.Errorf("redis: %w", err)
	}
	word, _, _ := strings.Cut(refusal.Error(), " ")
	if word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		word = "ERR"
	}
	return fmt.Errorf("redis: the server refused: %s", word)
}

// isShape tells whether an error is about an answer that cannot be read. go-redis has no type for these, and
// quotes the answer in them.
func isShape(err error) bool {
	_, isNumber := errors.AsType[*strconv.NumError](err)
	return isNumber || strings.Contains(err.Error(), "redis: can't ") || strings.Contains(err.Error(), "redis: invalid ")
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
