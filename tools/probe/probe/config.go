package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// sessionConfig has the members that a client reads, and the expiry.
type sessionConfig struct {
	token     string
	servers   []iceServer
	expiresIn *float64 // seconds
	expiresAt time.Time
}

// checkConfig checks the JSON as Orga's clients do: the token and the ICE servers must be truthy. It checks the ICE
// servers as RTCPeerConnection does, which throws at one bad entry.
func (p *prober) checkConfig(a answer) (sessionConfig, bool) {
	const fix = "The endpoint returns {\"ephemeralToken\":\"…\",\"iceServers\":[…]}. Check what lies between the endpoint and this machine."
	var body struct {
		Token     json.RawMessage `json:"ephemeralToken"`
		ICE       json.RawMessage `json:"iceServers"`
		ExpiresIn json.RawMessage `json:"expiresIn"`
		ExpiresAt json.RawMessage `json:"expiresAt"`
	}
	var c sessionConfig
	switch err := json.Unmarshal(a.body, &body); {
	case a.cut:
		p.report.fail("config", fmt.Sprintf("the body is larger than %d KiB", maxBody>>10), fix)
		return c, false
	case err != nil:
		p.report.fail("config", "the body is not a JSON object", fix)
		return c, false
	case json.Unmarshal(body.Token, &c.token) != nil || c.token == "":
		p.report.fail("config", "ephemeralToken is missing, empty or not a string", fix)
		return c, false
	case len(body.ICE) == 0 || string(body.ICE) == "null":
		p.report.fail("config", "iceServers is missing", fix)
		return c, false
	}
	p.report.Mints++
	p.report.ok("config", "token "+abbreviate(c.token))
	_ = json.Unmarshal(body.ExpiresIn, &c.expiresIn) // ignored if it is not a number
	_ = json.Unmarshal(body.ExpiresAt, &c.expiresAt) // ignored if it is not RFC 3339
	return c, p.checkEntries(body.ICE, &c)
}

// abbreviate shows enough of a token to tell it from others, but too little to use it.
func abbreviate(token string) string {
	const shown = 6
	if len(token) < 4*shown {
		return fmt.Sprintf("(%d characters)", len(token))
	}
	return fmt.Sprintf("%.*s… (%d characters)", shown, strings.ToValidUTF8(token, "?"), len(token))
}

// checkPermanentKey checks that no response contains a permanent key.
func (p *prober) checkPermanentKey(answers ...answer) {
	const prefix = "sk_orga_ai_"
	for _, a := range answers {
		leaks := bytes.Contains(a.body, []byte(prefix))
		for _, values := range a.header {
			leaks = leaks || strings.Contains(strings.Join(values, "\n"), prefix)
		}
		if leaks {
			p.report.fail("secret", "the response contains a permanent key ("+prefix+"…)",
				"Take the endpoint down, revoke the key, and find out what passes it on.")
			return
		}
	}
	p.report.ok("secret", "no permanent key in the response")
}
