package orga

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// SessionConfig is what an Orga client needs to open one session. Marshalled, it is the answer that
// Orga's browser and mobile SDKs expect of a backend; printed, "[redacted]".
type SessionConfig struct {
	Token      EphemeralToken
	ICEServers []ICEServer
}

// MarshalJSON is {"ephemeralToken","iceServers","expiresAt","expiresIn"}: expiresAt in RFC 3339, UTC;
// expiresIn in whole seconds from the moment of the call, not below 0. Both are left out when the
// expiry is unknown.
func (c SessionConfig) MarshalJSON() ([]byte, error) {
	answer := struct {
		EphemeralToken string      `json:"ephemeralToken"`
		ICEServers     []ICEServer `json:"iceServers"`
		ExpiresAt      string      `json:"expiresAt,omitempty"`
		ExpiresIn      *int64      `json:"expiresIn,omitempty"`
	}{EphemeralToken: c.Token.Reveal(), ICEServers: c.ICEServers}
	if answer.ICEServers == nil {
		answer.ICEServers = []ICEServer{}
	}
	if at := c.Token.ExpiresAt; !at.IsZero() {
		answer.ExpiresAt = at.UTC().Format(time.RFC3339)
		answer.ExpiresIn = new(max(0, int64(time.Until(at)/time.Second)))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // a credential travels unchanged
	err := enc.Encode(answer)
	return out.Bytes(), err
}

func (c SessionConfig) String() string             { return redacted }
func (c SessionConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
func (c SessionConfig) LogValue() slog.Value       { return slog.StringValue(redacted) }
