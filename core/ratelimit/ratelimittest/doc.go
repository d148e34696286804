// Package ratelimittest tests limiters: [Test] is the conformance suite that every [ratelimit.Limiter] passes, and
// [DynamoDB] and [RedisREST] are doubles of the services that the drivers count in.
package ratelimittest
