// Package throttle enforces the quotas of callers and the budgets of tenants. [Middleware] asks a [ratelimit.Limiter]:
// [Memory] counts for one instance; a [Store] wraps a limiter opened by a driver ([Open]), which counts for all instances.
package throttle
