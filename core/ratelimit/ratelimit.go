// Package ratelimit has the quotas of callers and tenants, and what a store that counts requests for all
// instances must do. [Quotas] are settings of the endpoint (core.Tenant); a [Driver] in core.Drivers opens a
// [Limiter]. Without one, each instance counts in its own memory.
//
// Redis and DynamoDB are drivers in packages of their own (redislimit, redisrest, dynamolimit), so that a program
// links only those that it imports. To write another, implement [Limiter] and run the tests of ratelimittest.
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

// Driver opens the store that a setting names, such as redis://host, without connecting to it. Its error must
// not repeat the setting, which may hold a password.
type Driver func(setting string) (Limiter, error)
