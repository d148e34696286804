// Package ratelimit defines the quotas of callers and tenants, and the interface of stores that count requests for all
// instances. [Quotas] are settings of the endpoint (core.Tenant); a [Driver] in core.Drivers opens a [Limiter]. Without
// one, each instance counts in its own memory.
//
// Stores are drivers in separate packages, such as redislimit, so that a program links only those that it imports. To write
// another, implement [Limiter] and run the tests of ratelimittest.
package ratelimit

import (
	"context"
	"time"
)

// Bucket is one quota of one key: a window of a caller, or a tenant's budget.
type Bucket struct {
	// Key is the tenant, a colon, and the caller; a tenant's budget has nothing after the colon. It does not reveal a
	// subject or an address.
	Key   string
	Quota Quota
}

// Decision is the decision of a [Limiter] about one bucket.
type Decision struct {
	Allowed   bool          // the bucket had room for the request
	Remaining int           // how many more requests it has room for now; -1 if it was not asked because another bucket refused
	Retry     time.Duration // until it has room for the next request; 0 if this one was allowed
	Reset     time.Duration // until the whole quota is available again
}

// Limiter counts requests. Allow decides one request against all of its buckets and returns a [Decision] for each: if all
// have room, the request is counted in all of them, otherwise in none. The buckets of a call belong to one tenant, first
// the caller's, then the tenant's.
//
// Allow is called concurrently and must return when ctx ends. A Limiter may also have the methods
// Ping(context.Context) error, which opens a connection before the first request, and Close() error.
type Limiter interface {
	Allow(ctx context.Context, buckets []Bucket) ([]Decision, error)
}

// Driver opens the store named by a setting, such as redis://host, without connecting to it. Its error must not repeat
// the setting, which may contain a password.
type Driver func(setting string) (Limiter, error)
