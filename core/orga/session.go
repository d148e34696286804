package orga

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"
)

// SessionConfig is what an Orga client needs to open one session. Marshaled it is the answer that Orga's
// browser and mobile SDKs expect of a backend; printed or logged it is "[redacted]".
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
	b = append(b, `{"ephemeralToken":"`...)
	for i := range len(token) { // printable ASCII
		if token[i] == '"' || token[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, token[i])
	}
	b = append(b, `","iceServers":[`...)
	for i, server := range c.ICEServers {
		if i > 0 {
			b = append(b, ',')
		}
		entry, err := server.MarshalJSON()
		if err != nil {
			return b, err
		}
		b = append(b, entry...)
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

// MarshalJSON is [SessionConfig.AppendJSON] for encoding/json.
func (c SessionConfig) MarshalJSON() ([]byte, error) { return c.AppendJSON(nil) }

// UnmarshalJSON reads what AppendJSON writes: the answer of a backend, in a Go client or a test. An answer
// without a token or without a list of ICE servers, such as an error, is an error.
func (c *SessionConfig) UnmarshalJSON(data []byte) error {
	answer, ok := document(bytes.Clone(data))
	if !ok {
		return errors.New("orga: the session config is not JSON")
	}
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

func (c SessionConfig) String() string             { return redacted }
func (c SessionConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
func (c SessionConfig) LogValue() slog.Value       { return slog.StringValue(redacted) }
