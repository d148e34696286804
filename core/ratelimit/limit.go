// Package ratelimit decides how often a caller may ask for credentials. [Middleware] counts a caller, by
// verified subject or else by address, with a [Limiter]: [Memory] counts for one instance, package redislimit
// for all of them, and [Fallback] makes the former stand in while the store of the latter is down.
package ratelimit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/platform"
	"github.com/orga-session/orga-session/core/problem"
)

// Quota is how many requests a caller has in a period. A caller may use all N at once; each comes back
// after its share of the period. The zero Quota is no limit.
type Quota struct {
	N   int
	Per time.Duration
}

var errQuota = errors.New("is not a number above zero, a slash and a duration")

// ParseQuota reads "30/1m". Its error does not repeat s.
func ParseQuota(s string) (Quota, error) {
	number, period, _ := strings.Cut(s, "/")
	n, err := strconv.ParseInt(number, 10, 32)
	per, perErr := time.ParseDuration(period)
	// A share of the period under a nanosecond would round to no limit at all.
	if err != nil || perErr != nil || n < 1 || per < time.Duration(n) {
		return Quota{}, errQuota
	}
	return Quota{N: int(n), Per: per}, nil
}

// Decision is a Limiter's answer.
type Decision struct {
	Allowed   bool
	Remaining int           // how many more would be allowed now
	Retry     time.Duration // until the next one is; 0 when this one was allowed
	Reset     time.Duration // until the whole quota is there again
}

// Limiter counts requests. Allow counts one of key, when q still has room for it, and tells; a
// refused one does not count. It is called with the same q for the same key, by many requests at once,
// and answers or fails within 100 ms, or when ctx ends.
type Limiter interface {
	Allow(ctx context.Context, key string, q Quota) (Decision, error)
}

// Middleware lets a caller of tenant through as often as q says, and answers 429 after that; with the zero
// Quota, always. Callers are told apart by the subject that Auth verified, else by the address in
// RemoteAddr, where the /64 of an IPv6 address is one caller: it is what one household has. Addresses
// that are unknown are one caller together.
//
// What a caller has left stands on every answer in RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers-10). A request that the limiter cannot count is answered 503.
func Middleware(l Limiter, q Quota, tenant string) func(http.Handler) http.Handler {
	if q == (Quota{}) {
		return func(next http.Handler) http.Handler { return next }
	}
	policy := []string{fmt.Sprintf(`"caller";q=%d;w=%d`, q.N, wholeSeconds(q.Per))}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d, err := l.Allow(r.Context(), callerKey(r, tenant), q)
			if err != nil {
				request.Fail(w, r, &problem.Problem{Code: problem.LimiterUnavailable, RetryAfter: time.Second, Cause: err})
				return
			}
			if x := request.From(r.Context()); x.Tracing() {
				x.Step(r.Context(), "limit", slog.Bool("allowed", d.Allowed), slog.Int("remaining", d.Remaining))
			}
			// t never points past Retry-After, which the draft asks to be the later of the two.
			t := d.Reset
			if !d.Allowed {
				t = d.Retry
			}
			h := w.Header()
			h["Ratelimit-Policy"] = policy
			h.Set("RateLimit", `"caller";r=`+strconv.Itoa(d.Remaining)+";t="+strconv.FormatInt(wholeSeconds(t), 10))
			if !d.Allowed {
				request.Fail(w, r, &problem.Problem{Code: problem.RateLimited, RetryAfter: max(d.Retry, 1)})
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// wholeSeconds rounds up, so that who waits for that long has waited long enough.
func wholeSeconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// callerKey stands for a caller of a tenant in a limiter's store. It shows neither a subject nor an
// address.
func callerKey(r *http.Request, tenant string) string {
	if caller := request.From(r.Context()).Caller; caller != "" {
		return tenant + ":" + caller
	}
	sum := sha256.Sum256([]byte("address\n" + network(r.RemoteAddr)))
	return tenant + ":" + hex.EncodeToString(sum[:16])
}

// network is what counts as one address; "" when it is unknown.
func network(remoteAddr string) string {
	addr := platform.ParseAddr(remoteAddr)
	switch {
	case !addr.IsValid():
		return ""
	case addr.Is4():
		return addr.String()
	}
	p, err := addr.Prefix(64)
	if err != nil { // it has no zone and 128 bits
		panic(err)
	}
	return p.String()
}
