// Package dynamolimit is the [ratelimit.Limiter] that counts in a DynamoDB table: "dynamodb:TABLE".
//
// The table has a string key called id, and TTL on the attribute expires. An item holds all windows of one caller, or of
// one tenant's budget; its id is a hash. The only permission needed is UpdateItem on the table.
//
// A decision is one conditional update, or two if another instance served the caller last. A tenant's budget is a second
// item, updated once the caller has room; if the budget refuses, the caller's update is undone. A transaction would do both
// at once, but cost twice as much and fail whenever two callers of a tenant collide at its budget: of 8 concurrent ones, 1
// passes.
package dynamolimit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/internal/awsenv"
	"github.com/orga-session/orga-session/core/internal/gcra"
	"github.com/orga-session/orga-session/core/ratelimit"
)

const (
	// maxSkew is the tolerated difference between the clocks of two instances. Values from a clock further ahead are replaced.
	maxSkew = time.Minute

	idAttribute      = "id"
	expiresAttribute = "expires" // seconds since 1970
)

type limiter struct {
	table string
	api   *client
	known known
}

// Open returns the [ratelimit.Driver] of "dynamodb:TABLE". lookup reads the environment ([os.LookupEnv] in a program).
//
// The credentials are ORGA_AWS_ACCESS_KEY_ID, ORGA_AWS_SECRET_ACCESS_KEY and, if they are temporary,
// ORGA_AWS_SESSION_TOKEN, with ORGA_AWS_REGION. If none of them is set and ambient is true, they are the
// platform's own, AWS_ACCESS_KEY_ID and so on, as Lambda sets them. ambient must be false where those belong to
// somebody else, as on Netlify. The SDK's variables of endpoints are honored (AWS_ENDPOINT_URL_DYNAMODB and so on).
func Open(lookup func(string) (string, bool), ambient bool) ratelimit.Driver {
	return func(setting string) (ratelimit.Limiter, error) {
		table := strings.TrimPrefix(setting, "dynamodb:")
		if !isTable(table) {
			return nil, errors.New("want the name of a table, such as dynamodb:orga-session-limits")
		}
		env, err := awsenv.Read(lookup, awsenv.Service{Driver: "dynamodb", EndpointVariable: "AWS_ENDPOINT_URL_DYNAMODB"}, ambient)
		if err != nil {
			return nil, err
		}
		return &limiter{table: table, api: newClient(env)}, nil
	}
}

func isTable(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	return len(s) >= 3 && len(s) <= 255 && strings.Trim(s, allowed) == ""
}

// Allow implements [ratelimit.Limiter]. The endpoint bounds its duration.
func (l *limiter) Allow(ctx context.Context, buckets []ratelimit.Bucket) ([]ratelimit.Decision, error) {
	decisions := make([]ratelimit.Decision, len(buckets))
	for start := 0; start < len(buckets); {
		end := start + 1
		for end < len(buckets) && buckets[end].Key == buckets[start].Key {
			end++
		}
		allowed, err := l.decide(ctx, buckets[start:end], decisions[start:end])
		if err != nil {
			return nil, err
		}
		if allowed {
			start = end
			continue
		}
		l.takeBack(ctx, buckets[:start], decisions[:start])
		for i := end; i < len(buckets); i++ {
			decisions[i] = ratelimit.Decision{Allowed: true, Remaining: -1}
		}
		return decisions, nil
	}
	return decisions, nil
}

// decide counts a request in an item, if each of its windows has room.
//
// An update cannot compute max(fullAt, now), so it must state which windows are in use. A wrong guess fails, returns the
// item, and is corrected. An item in use stays in use, so one correction suffices, unless only some of several windows are in
// use and another caller's update interferes.
func (l *limiter) decide(ctx context.Context, windows []ratelimit.Bucket, decisions []ratelimit.Decision) (allowed bool, err error) {
	now, fullAt := time.Now().UnixMicro(), l.known.get(windows)
	for {
		item, err := l.api.update(ctx, l.count(windows, fullAt, now))
		isRefused := errors.Is(err, errCondition)
		if err == nil || isRefused {
			fullAt, err = times(windows, item, !isRefused)
		}
		if err != nil {
			return false, err
		}
		l.known.set(windows, fullAt)
		room := true
		for i, w := range windows {
			decision := rate(w).Decide(rate(w).Used(fullAt[i], now+slack(w)), !isRefused)
			decision.Reset = time.Duration(rate(w).Used(fullAt[i], now)) * time.Microsecond
			decisions[i], room = decision, room && decision.Allowed
		}
		switch {
		case !isRefused:
			return true, nil
		case !room:
			l.correct(ctx, windows, fullAt, now)
			return false, nil
		}
	}
}

// slack is how far the clock of a request may be behind another's, in microseconds, without a refusal: clocks differ, and
// requests do not arrive in the order of their times. It is less than a share, so nobody gets more than the quota at once,
// but a request may be allowed that much earlier.
func slack(b ratelimit.Bucket) int64 { return min(rate(b).Share/2, time.Second.Microseconds()) }

// count returns the update that counts a request; fullAt is the assumed content of the item.
func (l *limiter) count(windows []ratelimit.Bucket, fullAt []int64, now int64) *updateItem {
	u := l.update(windows[0].Key)
	u.number(":now", now)
	longest := time.Duration(0)
	for i, w := range windows {
		r, n := rate(w), strconv.Itoa(i)
		u.name("#"+n, attribute(w))
		if fullAt[i] <= now {
			u.require("(attribute_not_exists(#" + n + ") OR #" + n + " <= :now)")
			u.set("#" + n + " = :next" + n)
			u.number(":next"+n, now+r.Share)
		} else {
			u.require("#" + n + " > :now")
			u.require("#" + n + " <= :room" + n)
			u.set("#" + n + " = #" + n + " + :share" + n)
			u.number(":room"+n, now+slack(w)+r.Burst-r.Share)
			u.number(":share"+n, r.Share)
		}
		longest = max(longest, w.Quota.Per)
	}
	u.name("#expires", expiresAttribute)
	u.set("#expires = :expires")
	u.number(":expires", now/1e6+int64(longest/time.Second)+1)
	u.in.ReturnValues = "UPDATED_NEW"
	u.in.ReturnValuesOnConditionCheckFailure = "ALL_OLD"
	return u.done()
}

// takeBack undoes a request's updates to its caller's items after the tenant's budget refused it. Meanwhile, only requests of
// the same caller can be refused because of them, and the budget refuses those anyway.
func (l *limiter) takeBack(ctx context.Context, windows []ratelimit.Bucket, decisions []ratelimit.Decision) {
	if len(windows) == 0 {
		return
	}
	u := l.update(windows[0].Key)
	for i, w := range windows {
		n := strconv.Itoa(i)
		u.name("#"+n, attribute(w))
		u.number(":share"+n, rate(w).Share)
		u.require("attribute_exists(#" + n + ")")
		u.set("#" + n + " = #" + n + " - :share" + n)
		before := decisions[i].Reset.Microseconds() - rate(w).Share
		decisions[i] = rate(w).Decide(max(0, before), false)
	}
	_, _ = l.api.update(ctx, u.done()) // if this fails, the caller loses one request
	l.known.forget(windows)
}

// correct replaces values from a clock that was set back since, so that a caller waits for at most one period.
func (l *limiter) correct(ctx context.Context, windows []ratelimit.Bucket, fullAt []int64, now int64) {
	for i, w := range windows {
		latest := rate(w).Clamp(now)
		if fullAt[i] <= latest+maxSkew.Microseconds() {
			continue
		}
		u := l.update(w.Key)
		u.name("#0", attribute(w))
		u.number(":wrong", fullAt[i])
		u.number(":latest", latest)
		u.require("#0 = :wrong")
		u.set("#0 = :latest")
		_, _ = l.api.update(ctx, u.done()) // if this fails, the next request tries again
	}
}

// Ping reports whether the table accepts updates, and opens a connection for the first request. It changes nothing, because
// its condition is never true.
func (l *limiter) Ping(ctx context.Context) error {
	u := l.update("ping")
	u.name("#id", idAttribute)
	u.name("#0", "ping")
	u.number(":0", 0)
	u.require("attribute_exists(#id)")
	u.set("#0 = :0")
	switch _, err := l.api.update(ctx, u.done()); {
	case errors.Is(err, errCondition):
		return nil
	case err != nil:
		return err
	}
	return errAnswer
}

// Close closes idle connections.
func (l *limiter) Close() error {
	l.api.http.CloseIdleConnections()
	return nil
}

func rate(b ratelimit.Bucket) gcra.Rate { return gcra.New(b.Quota) }

// attribute is the name of a window's attribute: the time at which none of its quota is in use, in microseconds since 1970. A
// changed quota has another attribute, and starts unused.
func attribute(b ratelimit.Bucket) string { return b.Quota.String() }

// id returns the item ID for a key.
func id(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// times returns the windows of an item; 0 for missing ones, unless all were set.
func times(windows []ratelimit.Bucket, item map[string]value, set bool) ([]int64, error) {
	fullAt := make([]int64, len(windows))
	for i, w := range windows {
		stored, ok := item[attribute(w)]
		if !ok && !set {
			continue
		}
		t, err := strconv.ParseInt(stored.N, 10, 64)
		if err != nil {
			return nil, errAnswer
		}
		fullAt[i] = t
	}
	return fullAt, nil
}
