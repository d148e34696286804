// Package ratelimittest tests limiters: [Test] is a conformance suite for any [ratelimit.Limiter], and [DynamoDB] and
// [RedisREST] are fakes of the services that the drivers use.
package ratelimittest
