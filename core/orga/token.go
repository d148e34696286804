package orga

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// EphemeralToken is a short-lived credential for one session. Printed or logged, it is "[redacted]";
// [EphemeralToken.Reveal] returns it for the client. The zero EphemeralToken is empty.
type EphemeralToken struct {
	// ExpiresAt is when the token expires, in UTC; zero if unknown.
	ExpiresAt time.Time
	// RequestID is Orga's own ID of the mint (X-Request-Id), for its support; "" if Orga sent none.
	RequestID string
	reveal    func() string // a closure, because fmt prints the fields of a struct but not what a function holds
}

// NewEphemeralToken returns a token with the given text, for tests. A zero expiresAt means an unknown expiry.
func NewEphemeralToken(token string, expiresAt time.Time) EphemeralToken {
	return EphemeralToken{ExpiresAt: expiresAt, reveal: func() string { return token }}
}

// Reveal returns the token itself.
func (t EphemeralToken) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

const redacted = "[redacted]"

func (t EphemeralToken) String() string       { return redacted }
func (t EphemeralToken) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]", too: only a [SessionConfig] marshals its token.
func (t EphemeralToken) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func decodeToken(body []byte, now time.Time) (EphemeralToken, error) {
	answer, ok := document(body)
	if !ok || answer[0] != '{' {
		return EphemeralToken{}, errors.New("it is not a JSON object")
	}
	var token, camelCase string
	var at, ttl []byte
	for m := range members(answer) {
		switch string(m.name) {
		case "ephemeral_token":
			token = text(m.value)
		case "ephemeralToken":
			camelCase = text(m.value)
		case "expires_at":
			at = m.value
		case "ttl":
			ttl = m.value
		}
	}
	if token == "" {
		token = camelCase
	}
	if token == "" {
		return EphemeralToken{}, errors.New("it has no token")
	}
	if !headerSafe(token) {
		return EphemeralToken{}, errors.New("its token contains a character that a header cannot have")
	}
	switch {
	case at != nil && !isNull(at):
		return NewEphemeralToken(token, parseTime(at)), nil
	case ttl != nil && !isNull(ttl):
		return NewEphemeralToken(token, after(now, ttl)), nil
	}
	return NewEphemeralToken(token, jwtExpiry(token)), nil
}

// after returns the time this many seconds after now; zero if the number is not plausible.
func after(now time.Time, seconds []byte) time.Time {
	n, err := strconv.ParseFloat(string(seconds), 64)
	if err != nil || !(n > 0 && n < 1e9) {
		return time.Time{}
	}
	return now.Add(time.Duration(n * float64(time.Second))).UTC()
}

// isoLayouts are the accepted time formats, Orga's own first; without a zone, a time is UTC. Each also accepts a fraction
// of a second, and a space instead of the T.
var isoLayouts = []string{"2006-01-02T15:04:05", time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07"}

// parseTime parses an ISO time or Unix seconds; zero for anything else.
func parseTime(value []byte) time.Time {
	if len(value) > 0 && value[0] != '"' {
		seconds, _ := strconv.ParseFloat(string(value), 64) // 0 is not a time either
		return unixTime(seconds)
	}
	iso := strings.Replace(text(value), " ", "T", 1)
	for _, layout := range isoLayouts {
		if t, err := time.Parse(layout, iso); err == nil && 1 <= t.UTC().Year() && t.UTC().Year() <= 9999 { // RFC 3339 allows no others
			return t.UTC()
		}
	}
	return time.Time{}
}

// unixTime rejects times that RFC 3339 cannot represent, including a time in milliseconds.
func unixTime(seconds float64) time.Time {
	const year10000 = 253402300800
	if !(seconds > 0 && seconds < year10000) {
		return time.Time{}
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
}

// jwtExpiry returns the exp claim of a token that is a JWT (RFC 7519 section 4.1.4). It does not verify the token: it comes
// from Orga, and the expiry is a hint.
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
