// Package ratelimit limits how often callers may mint. [Middleware] counts each request against the quotas of
// its caller and the budget of its tenant, in a [Limiter]: [Memory] counts for one instance, a store opened by
// [Drivers.Open] for all instances.
package ratelimit

import (
	"context"
	"time"
)

// Bucket is one quota of one key: a window of a caller, or a tenant's budget.
type Bucket struct {
	// Key is the tenant, a colon, and the caller; a tenant's budget has nothing after the colon. It shows
	// neither a subject nor an address.
	Key   string
	Quota Quota
}

// Decision is the decision of a [Limiter] about one bucket.
type Decision struct {
	Allowed   bool          // the bucket had room for the request
	Remaining int           // how many more requests it has room for now; -1 if it was not asked, since another bucket refused
	Retry     time.Duration // until it has room for the next; 0 when this one was allowed
	Reset     time.Duration // until the whole quota is available again
}

// Limiter counts requests. Allow decides one request against all of its buckets and returns a [Decision] for
// each: if all have room, the request is counted in all of them, else in none. The buckets of a call belong to
// one tenant; the caller's come first, then the tenant's.
//
// Allow is called concurrently and must return when ctx ends. A Limiter may also have the methods
// Ping(context.Context) error, which opens a connection ahead of the first request, and Close() error.
type Limiter interface {
	Allow(ctx context.Context, buckets []Bucket) ([]Decision, error)
}
