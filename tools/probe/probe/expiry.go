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
	// needed is what a token must live on: gathering candidates may take 5 s, the call 10 s.
	needed = 15 * time.Second
	// An answer takes its time to travel; and what checks a token's times allows 60 s as a rule.
	clockNoise, clockBroken = 5 * time.Second, time.Minute
)

// skew is how far the endpoint's clock is ahead of this machine's; false without a Date. A Date has lost
// half a second on average.
func skew(a answer) (time.Duration, bool) {
	date, err := http.ParseTime(a.header.Get("Date"))
	return date.Add(time.Second / 2).Sub(a.received).Round(time.Second), err == nil
}

func (p *prober) clock(a answer, c sessionConfig) {
	ahead, known := skew(a)
	if !known {
		p.report.skip("clock", "the answer has no Date")
		return
	}
	switch away := ahead.Abs(); {
	case away > clockBroken:
		p.report.fail("clock", "the endpoint's Date is "+spellSkew(ahead)+" of this machine's clock",
			"one of the two is wrong: set this machine's clock, or look for a cache that serves old answers")
		return
	case away > clockNoise:
		p.report.warn("clock", "the endpoint's Date is "+spellSkew(ahead)+" of this machine's clock", "set the clock")
		return
	}
	if c.expiresIn != nil && !c.expiresAt.IsZero() {
		told := seconds(*c.expiresIn)
		if apart := c.expiresAt.Sub(a.received.Add(ahead)) - told; apart.Abs() > clockNoise {
			p.report.fail("clock", "expiresAt and expiresIn are "+apart.Abs().Round(time.Second).String()+" apart",
				"look for a cache that serves old answers")
			return
		}
	}
	p.report.ok("clock", "agrees with this machine's")
}

func spellSkew(ahead time.Duration) string {
	if ahead < 0 {
		return ahead.Abs().String() + " behind"
	}
	return ahead.String() + " ahead"
}

// expiry checks what is left of the token's life, by the shortest of what the answer and the token say.
// Where the clocks disagree it is the longest: that fault is the clock's, and named there.
func (p *prober) expiry(a answer, c sessionConfig) {
	var lives []time.Duration
	ahead, known := skew(a)
	skewed := known && ahead.Abs() > clockNoise
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
		p.report.warn("expiry", "not known: neither the answer nor the token says", "a session may start with a dead token and not know why")
		return
	}
	left := slices.Min(lives)
	if skewed {
		left = slices.Max(lives)
	}
	const fix = "hand out each token at once, never from a cache; a client needs up to 15 s before it uses it"
	switch left = left.Round(time.Second); {
	case left <= 0:
		p.report.fail("expiry", fmt.Sprintf("the token expired %s ago", left.Abs()), fix)
	case left < needed:
		p.report.fail("expiry", fmt.Sprintf("the token lives %s more, a client may need %s", left, needed), fix)
	default:
		p.report.ok("expiry", fmt.Sprintf("the token lives %s more", left))
	}
}

// jwtExpiry is the exp of a token that is a JWT.
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

// seconds is s of them, at most what a Duration holds.
func seconds(s float64) time.Duration {
	const most = math.MaxInt64 / float64(time.Second) / 2
	return time.Duration(max(-most, min(s, most)) * float64(time.Second))
}
