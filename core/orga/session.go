package orga

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// SessionConfig is what an Orga client needs to open one session. It marshals to the answer that Orga's browser
// and mobile SDKs expect from a backend; printed or logged, it is "[redacted]".
type SessionConfig struct {
	Token      EphemeralToken
	ICEServers []ICEServer
}

// AppendJSON appends {"ephemeralToken","iceServers","expiresAt","expiresIn"} to b: expiresAt in RFC 3339,
// UTC; expiresIn in whole seconds from the moment of the call, not below 0. Both are omitted if the expiry
// is unknown. A config without a usable token is an error.
func (c SessionConfig) AppendJSON(b []byte) ([]byte, error) {
	token := c.Token.Reveal()
	if !headerSafe(token) {
		return b, errors.New("orga: the session config has no usable token")
	}
	size := 128 + len(token)
	for _, server := range c.ICEServers {
		if server.raw == nil {
			return b, errEmptyServer
		}
		size += len(server.raw()) + 1
	}
	b = append(slices.Grow(b, size), `{"ephemeralToken":`...)
	b = strconv.AppendQuote(b, token) // for printable ASCII, it escapes as JSON does
	b = append(b, `,"iceServers":[`...)
	for i, server := range c.ICEServers {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, server.raw()...)
	}
	b = append(b, ']')
	if at := c.Token.ExpiresAt; !at.IsZero() {
		b = append(b, `,"expiresAt":"`...)
		b = at.UTC().AppendFormat(b, time.RFC3339)
		b = append(b, `","expiresIn":`...)
		b = strconv.AppendInt(b, max(0, int64(time.Until(at)/time.Second)), 10)
	}
	return append(b, '}'), nil
}

// MarshalJSON calls [SessionConfig.AppendJSON].
func (c SessionConfig) MarshalJSON() ([]byte, error) { return c.AppendJSON(nil) }

// UnmarshalJSON parses a backend's answer, as written by AppendJSON, in a Go client or a test. An answer without a token or
// a list of ICE servers, such as an error body, is an error.
func (c *SessionConfig) UnmarshalJSON(data []byte) error {
	answer, _ := document(bytes.Clone(data))
	var token string
	var at, in []byte
	for m := range members(answer) {
		switch string(m.name) {
		case "ephemeralToken":
			token = text(m.value)
		case "expiresAt":
			at = m.value
		case "expiresIn":
			in = m.value
		}
	}
	if !headerSafe(token) {
		return errors.New("orga: the session config has no usable token")
	}
	servers, err := decodeICE(answer)
	if err != nil {
		return fmt.Errorf("orga: the session config: %w", err)
	}
	expiresAt := parseTime(at)
	if expiresAt.IsZero() {
		expiresAt = after(time.Now(), in)
	}
	*c = SessionConfig{NewEphemeralToken(token, expiresAt), servers}
	return nil
}

func (c SessionConfig) String() string       { return redacted }
func (c SessionConfig) LogValue() slog.Value { return slog.StringValue(redacted) }
