package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// sessionConfig is what a client takes from the answer, and what we read besides.
type sessionConfig struct {
	token     string
	servers   []iceServer
	expiresIn *float64 // seconds
	expiresAt time.Time
}

// config checks the JSON as Orga's clients do: a token and ICE servers that are truthy. The ICE servers
// are also checked as RTCPeerConnection would: one bad entry throws, and the session ends there.
func (p *prober) config(a answer) (sessionConfig, bool) {
	const fix = "the body is {\"ephemeralToken\":\"…\",\"iceServers\":[…]}: check what stands between the endpoint and here"
	var body struct {
		Token     json.RawMessage `json:"ephemeralToken"`
		ICE       json.RawMessage `json:"iceServers"`
		ExpiresIn json.RawMessage `json:"expiresIn"`
		ExpiresAt json.RawMessage `json:"expiresAt"`
	}
	var c sessionConfig
	switch err := json.Unmarshal(a.body, &body); {
	case a.cut:
		p.report.fail("config", fmt.Sprintf("the body is longer than %d KiB", maxBody>>10), fix)
		return c, false
	case err != nil:
		p.report.fail("config", "the body is no JSON object", fix)
		return c, false
	case json.Unmarshal(body.Token, &c.token) != nil || c.token == "":
		p.report.fail("config", "ephemeralToken is missing, empty, or no string", fix)
		return c, false
	case len(body.ICE) == 0 || string(body.ICE) == "null":
		p.report.fail("config", "iceServers is missing", fix)
		return c, false
	}
	p.report.Mints++
	p.report.ok("config", "token "+abbreviate(c.token))
	_ = json.Unmarshal(body.ExpiresIn, &c.expiresIn) // one that is no number is as good as none,
	_ = json.Unmarshal(body.ExpiresAt, &c.expiresAt) // and so is one that is no RFC 3339
	return c, p.ice(body.ICE, &c)
}

// abbreviate shows enough of a token to tell it from another, and too little to use it.
func abbreviate(token string) string {
	const shown = 6
	if len(token) < 4*shown {
		return fmt.Sprintf("(%d characters)", len(token))
	}
	return fmt.Sprintf("%.*s… (%d characters)", shown, strings.ToValidUTF8(token, "?"), len(token))
}

// permanentKey looks for the one thing that must never be in an answer.
func (p *prober) permanentKey(answers ...answer) {
	const prefix = "sk_orga_ai_"
	for _, a := range answers {
		leaks := bytes.Contains(a.body, []byte(prefix))
		for _, values := range a.header {
			leaks = leaks || strings.Contains(strings.Join(values, "\n"), prefix)
		}
		if leaks {
			p.report.fail("secret", "a permanent key ("+prefix+"…) is in the answer",
				"take the endpoint down, revoke the key, and find out who hands it on")
			return
		}
	}
	p.report.ok("secret", "no permanent key in the answer")
}
