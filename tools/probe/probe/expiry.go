package probe

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// minLifetime is the time that a client may need: up to 5 s to gather candidates and 10 s for the call.
	minLifetime = 15 * time.Second
	// Allow for the travel time of a response, and for the usual leeway of 60 s in checks of token times.
	clockTolerance, maxClockSkew = 5 * time.Second, time.Minute
)

// skew returns how far the endpoint's clock is ahead of this machine's; false without a Date. A Date is truncated to
// seconds, so half a second is added.
func skew(a answer) (time.Duration, bool) {
	date, err := http.ParseTime(a.header.Get("Date"))
	return date.Add(time.Second / 2).Sub(a.received).Round(time.Second), err == nil
}

func (p *prober) checkClock(a answer, c sessionConfig) {
	ahead, known := skew(a)
	if !known {
		p.report.skip("clock", "the response has no Date")
		return
	}
	switch away := ahead.Abs(); {
	case away > maxClockSkew:
		p.report.fail("clock", "the endpoint's Date is "+formatSkew(ahead)+" of this machine's clock",
			"Set this machine's clock, or look for a cache that serves old responses.")
		return
	case away > clockTolerance:
		p.report.warn("clock", "the endpoint's Date is "+formatSkew(ahead)+" of this machine's clock", "Set the clock that is wrong.")
		return
	}
	if c.expiresIn != nil && !c.expiresAt.IsZero() {
		expected := seconds(*c.expiresIn)
		if apart := c.expiresAt.Sub(a.received.Add(ahead)) - expected; apart.Abs() > clockTolerance {
			p.report.fail("clock", "expiresAt and expiresIn differ by "+apart.Abs().Round(time.Second).String(),
				"Look for a cache that serves old responses.")
			return
		}
	}
	p.report.ok("clock", "agrees with this machine's clock")
}

func formatSkew(ahead time.Duration) string {
	if ahead < 0 {
		return ahead.Abs().String() + " behind"
	}
	return ahead.String() + " ahead"
}

// checkExpiry checks the token's remaining life: the shortest that the response and the token state. If the clocks
// disagree, it takes the longest instead, because the check clock already reports that fault.
func (p *prober) checkExpiry(a answer, c sessionConfig) {
	var lives []time.Duration
	ahead, known := skew(a)
	skewed := known && ahead.Abs() > clockTolerance
	until := func(t time.Time) {
		lives = append(lives, t.Sub(a.received))
		if skewed {
			lives = append(lives, t.Sub(a.received.Add(ahead)))
		}
	}
	if c.expiresIn != nil {
		lives = append(lives, seconds(*c.expiresIn))
	}
	if !c.expiresAt.IsZero() {
		until(c.expiresAt)
	}
	if exp, ok := jwtExpiry(c.token); ok {
		until(exp)
	}
	if len(lives) == 0 {
		p.report.warn("expiry", "unknown: neither the response nor the token states it", "Ask Orga. Without an expiry, a client cannot tell that its token has expired.")
		return
	}
	left := slices.Min(lives)
	if skewed {
		left = slices.Max(lives)
	}
	const fix = "Return each token as soon as it is minted, never from a cache. A client may take up to 15 s to use it."
	switch left = left.Round(time.Second); {
	case left <= 0:
		p.report.fail("expiry", fmt.Sprintf("the token expired %s ago", left.Abs()), fix)
	case left < minLifetime:
		p.report.fail("expiry", fmt.Sprintf("the token expires in %s; a client may need %s", left, minLifetime), fix)
	default:
		p.report.ok("expiry", fmt.Sprintf("the token expires in %s", left))
	}
}

// jwtExpiry returns the exp of a JWT; false for any other token.
func jwtExpiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(raw, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}, false
	}
	return time.Unix(0, 0).Add(seconds(claims.Exp)), true
}

// seconds converts s to a Duration, clamped to half its range.
func seconds(s float64) time.Duration {
	const most = math.MaxInt64 / float64(time.Second) / 2
	return time.Duration(max(-most, min(s, most)) * float64(time.Second))
}
