// Package ratelimit decides how often callers may ask for credentials. [Middleware] counts each request against
// the quotas of its caller and the budget of its tenant, in a [Limiter]: [Memory] counts for one instance, a
// store that a [Drivers] opens counts for all of them.
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

// Decision is what a Limiter says of one bucket.
type Decision struct {
	Allowed   bool          // the bucket had room for the request
	Remaining int           // how many more it has room for now; -1 when it was not asked, as another had refused
	Retry     time.Duration // until it has room for the next; 0 when this one was allowed
	Reset     time.Duration // until the whole quota is there again
}

// Limiter counts requests. Allow decides one request in all of its buckets, and answers with a Decision for each:
// when every one has room, the request is counted in all of them, else in none. The buckets of one call have
// one tenant; those of one caller stand together, before the tenant's.
//
// Allow is called by many requests at once, and answers or fails when ctx ends. A Limiter of your own may
// also have the methods Ping(context.Context) error, which opens a connection ahead, and Close() error.
type Limiter interface {
	Allow(ctx context.Context, buckets []Bucket) ([]Decision, error)
}
