package throttle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orga-session/orga-session/core/internal/metric"
	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// Options configure [Middleware].
type Options struct {
	Limiter ratelimit.Limiter
	Tenant  string           // "" for the default tenant
	Caller  ratelimit.Quotas // the windows of each caller; empty or [ratelimit.Off] for no limit
	Budget  ratelimit.Quotas // what all callers of the tenant may use together; empty or [ratelimit.Off] for no limit
	Log     *slog.Logger
}

// msgBudget is the log message when a tenant has used 80 percent of its budget. It is logged again only after
// the use fell below 70 percent.
const msgBudget = "tenant budget at 80 percent"

// Middleware passes a request on if its caller's quotas and its tenant's budget all have room for it, and answers 429
// otherwise. Refused requests are not counted. If the limiter fails, the answer is 503.
//
// A caller is the verified subject, else the address in RemoteAddr. All addresses of an IPv6 /64, typically one household,
// are one caller, and so are all clients with unknown addresses.
//
// Every answer lists the policies and what remains of them in RateLimit-Policy and RateLimit
// (draft-ietf-httpapi-ratelimit-headers-10).
func Middleware(o Options) func(http.Handler) http.Handler {
	policies := newPolicies(o)
	if len(policies) == 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	var described []string
	for _, p := range policies {
		described = append(described, fmt.Sprintf(`"%s";q=%d;w=%d`, p.name, p.quota.N, wholeSeconds(p.quota.Per)))
	}
	policyHeader := []string{strings.Join(described, ", ")}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			record := request.From(r.Context())
			decisions, err := o.Limiter.Allow(r.Context(), buckets(policies, o.Tenant, r))
			switch {
			case err != nil && r.Context().Err() != nil:
				request.Fail(w, r, problem.New(problem.Timeout, err))
				return
			case err != nil:
				request.Fail(w, r, &problem.Problem{Code: problem.LimiterUnavailable, RetryAfter: time.Second, Cause: err})
				return
			}
			var wait time.Duration
			for i, d := range decisions {
				if !d.Allowed && d.Retry >= wait {
					wait, record.Limit = max(d.Retry, 1), policies[i].name
				}
				policies[i].watch(r.Context(), o, d)
			}
			request.Logger(r.Context()).LogAttrs(r.Context(), slog.LevelDebug, "limit checked", slog.Bool("allowed", wait == 0), slog.String("limit", record.Limit))
			h := w.Header()
			h["Ratelimit-Policy"] = policyHeader
			if left := remaining(policies, decisions, wait); left != "" {
				h["Ratelimit"] = []string{left}
			}
			if wait > 0 {
				request.Fail(w, r, &problem.Problem{Code: problem.RateLimited, RetryAfter: wait})
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// policy is a quota under its name in the headers and the log.
type policy struct {
	name   string
	quota  ratelimit.Quota
	budget *budget // nil for a caller's
}

// budget tracks whether most of a tenant's budget is used.
type budget struct{ low atomic.Bool }

func newPolicies(o Options) []policy {
	var policies []policy
	add := func(name string, quotas ratelimit.Quotas, isBudget bool) {
		if quotas.IsOff() {
			return
		}
		for i, q := range quotas {
			p := policy{name: name, quota: q}
			if i > 0 {
				p.name += "-" + strconv.FormatInt(wholeSeconds(q.Per), 10)
			}
			if isBudget {
				p.budget = new(budget)
			}
			policies = append(policies, p)
		}
	}
	add("caller", o.Caller, false)
	add("tenant", o.Budget, true)
	return policies
}

func buckets(policies []policy, tenant string, r *http.Request) []ratelimit.Bucket {
	list := make([]ratelimit.Bucket, len(policies))
	caller, all := callerKey(r, tenant), tenant+":"
	for i, p := range policies {
		list[i] = ratelimit.Bucket{Key: caller, Quota: p.quota}
		if p.budget != nil {
			list[i].Key = all
		}
	}
	return list
}

// watch logs when a tenant's budget runs low.
func (p policy) watch(ctx context.Context, o Options, d ratelimit.Decision) {
	if p.budget == nil || d.Remaining < 0 {
		return
	}
	used := p.quota.N - d.Remaining
	switch {
	case 10*used >= 8*p.quota.N:
		if !p.budget.low.Swap(true) && o.Log != nil {
			o.Log.WarnContext(ctx, msgBudget, "tenant", o.Tenant, "limit", p.name, "quota", p.quota.String(), "remaining", d.Remaining, metric.Key, metric.TenantBudgetLow)
		}
	case 10*used < 7*p.quota.N:
		p.budget.low.Store(false)
	}
}

// remaining returns the value of RateLimit. On a refusal, no t may exceed wait, because the draft requires Retry-After to
// be the latest time of all.
func remaining(policies []policy, decisions []ratelimit.Decision, wait time.Duration) string {
	text := make([]byte, 0, 96)
	for i, d := range decisions {
		if d.Remaining < 0 {
			continue
		}
		t := d.Reset
		switch {
		case !d.Allowed:
			t = d.Retry
		case wait > 0:
			t = min(t, wait)
		}
		if len(text) > 0 {
			text = append(text, ", "...)
		}
		text = append(append(append(text, '"'), policies[i].name...), `";r=`...)
		text = strconv.AppendInt(text, int64(d.Remaining), 10)
		text = strconv.AppendInt(append(text, ";t="...), wholeSeconds(t), 10)
	}
	return string(text)
}

// wholeSeconds rounds up, so that a caller who waits that long has room again.
func wholeSeconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// callerKey returns the key of a caller's buckets.
func callerKey(r *http.Request, tenant string) string {
	if caller := request.From(r.Context()).Caller; caller != "" {
		return tenant + ":" + caller
	}
	sum := sha256.Sum256([]byte("address\n" + request.Network(r.RemoteAddr)))
	key := append(make([]byte, 0, 128), tenant...)
	return string(hex.AppendEncode(append(key, ':'), sum[:16]))
}
