// Package throttle counts requests against the quotas of their callers and the budget of their tenant.
// [Middleware] asks a [ratelimit.Limiter]: [Memory] counts for one instance, a [Store] for all instances, around
// a limiter that a driver has opened ([Open]).
package throttle
