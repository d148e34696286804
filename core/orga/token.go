package orga

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"time"
)

// EphemeralToken is a short-lived credential for one session. Printed or logged it shows
// "[redacted]"; Reveal is what goes to the client. The zero EphemeralToken is empty.
type EphemeralToken struct {
	// ExpiresAt is when it ends, in UTC; zero when Orga did not say.
	ExpiresAt time.Time
	reveal    func() string // a closure, as fmt prints the fields of a struct but not what a function holds
}

// Reveal is the token itself.
func (t EphemeralToken) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

const redacted = "[redacted]"

func (t EphemeralToken) String() string             { return redacted }
func (t EphemeralToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
func (t EphemeralToken) LogValue() slog.Value       { return slog.StringValue(redacted) }

// MarshalText is redacted too: a token leaves as part of a SessionConfig only.
func (t EphemeralToken) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func decodeToken(body []byte, now time.Time) (EphemeralToken, error) {
	var answer members
	if json.Unmarshal(body, &answer) != nil {
		return EphemeralToken{}, errors.New("it is not the JSON object that was expected")
	}
	token := answer.text("ephemeral_token")
	if token == "" {
		token = answer.text("ephemeralToken")
	}
	if token == "" {
		return EphemeralToken{}, errors.New("it holds no token")
	}
	if !headerSafe(token) {
		return EphemeralToken{}, errors.New("its token could not travel in a header")
	}
	t := EphemeralToken{reveal: func() string { return token }}
	switch {
	case answer.has("expires_at"):
		t.ExpiresAt = parseTime(answer["expires_at"])
	case answer.has("ttl"):
		var seconds float64
		if json.Unmarshal(answer["ttl"], &seconds) == nil && seconds > 0 && seconds < 1e9 {
			t.ExpiresAt = now.Add(time.Duration(seconds * float64(time.Second))).UTC()
		}
	default:
		t.ExpiresAt = jwtExpiry(token)
	}
	return t, nil
}

// isoLayouts are the ways a backend writes a time; without a zone it is UTC. A fraction of a second is
// accepted after the seconds of each, and a blank in place of the T.
var isoLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07"}

// parseTime reads an ISO time or Unix seconds; the zero time when it is neither.
func parseTime(raw json.RawMessage) time.Time {
	var v any
	_ = json.Unmarshal(raw, &v) // a RawMessage is valid JSON
	switch v := v.(type) {
	case float64:
		return unixTime(v)
	case string:
		v = strings.Replace(v, " ", "T", 1)
		for _, layout := range isoLayouts {
			if t, err := time.Parse(layout, v); err == nil && 1 <= t.UTC().Year() && t.UTC().Year() <= 9999 { // RFC 3339 has no others
				return t.UTC()
			}
		}
	}
	return time.Time{}
}

// unixTime refuses what RFC 3339 could not write (a time in milliseconds lands there, too).
func unixTime(seconds float64) time.Time {
	const year10000 = 253402300800
	if !(seconds > 0 && seconds < year10000) {
		return time.Time{}
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
}

// jwtExpiry reads the exp claim of a token that happens to be a JWT (RFC 7519 section 4.1.4). Nothing
// is verified: it is Orga's own token, and the expiry is a hint.
func jwtExpiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return time.Time{}
	}
	return unixTime(claims.Exp)
}
