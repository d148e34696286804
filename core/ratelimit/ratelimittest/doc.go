// Package ratelimittest tests limiters. [Test] is a conformance suite for any [ratelimit.Limiter], [TestConnections] tests
// one that speaks HTTP, and [TestOutage] tests how an endpoint uses it while its store fails. [StartRedis] starts a
// redis-server for a test; [DynamoDB] and [RedisREST] are fakes of the other stores.
package ratelimittest
