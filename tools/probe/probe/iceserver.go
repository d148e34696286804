package probe

import (
	"encoding/json"
	"fmt"

	"github.com/pion/stun/v4"
)

// iceServer is one address of an entry, with the entry's credential.
type iceServer struct {
	uri        stun.URI
	username   string
	credential string
}

// target returns the address with the defaults filled in, as a browser does.
func (s iceServer) target() string { return s.uri.String() }

func (s iceServer) relays() bool {
	return s.uri.Scheme == stun.SchemeTypeTURN || s.uri.Scheme == stun.SchemeTypeTURNS
}

const iceRemedy = "Pass on what Orga sent, without members that are null or empty: new RTCPeerConnection throws at such an entry."

// checkEntries checks each entry, without printing its content.
func (p *prober) checkEntries(list json.RawMessage, c *sessionConfig) bool {
	var entries []json.RawMessage
	if json.Unmarshal(list, &entries) != nil {
		p.report.fail("ice", "iceServers is not a list", iceRemedy)
		return false
	}
	turn := false
	for i, entry := range entries {
		servers, fault := readEntry(entry)
		if fault != "" {
			p.report.fail("ice", fmt.Sprintf("entry %d of %d: %s", i+1, len(entries), fault), iceRemedy)
			return false
		}
		for _, s := range servers {
			turn = turn || s.relays()
			c.servers = append(c.servers, s)
		}
	}
	if !turn {
		p.report.warn("ice", "no entry is a TURN server",
			"Ask Orga for a TURN server. Without one, callers behind a strict firewall cannot connect.")
		return true
	}
	p.report.ok("ice", fmt.Sprintf("entries: %d, addresses: %d", len(entries), len(c.servers)))
	return true
}

// readEntry parses an entry as a browser does; the fault is what a browser would reject.
func readEntry(raw json.RawMessage) (servers []iceServer, fault string) {
	var entry struct {
		URLs       json.RawMessage `json:"urls"`
		Username   json.RawMessage `json:"username"`
		Credential json.RawMessage `json:"credential"`
	}
	if json.Unmarshal(raw, &entry) != nil || string(raw) == "null" {
		return nil, "it is not an object"
	}
	var urls []string
	var one string
	switch {
	case json.Unmarshal(entry.URLs, &one) == nil && one != "":
		urls = []string{one}
	case json.Unmarshal(entry.URLs, &urls) != nil || len(urls) == 0:
		return nil, "urls is missing, empty or not a string"
	}
	for i, u := range urls {
		uri, err := stun.ParseURI(u)
		if err != nil {
			return nil, fmt.Sprintf("url %d is not a stun: or turn: address", i+1)
		}
		s := iceServer{uri: *uri}
		if s.relays() {
			if json.Unmarshal(entry.Username, &s.username) != nil || s.username == "" {
				return nil, "it is a TURN server without a username"
			}
			if json.Unmarshal(entry.Credential, &s.credential) != nil || s.credential == "" {
				return nil, "it is a TURN server without a credential"
			}
		}
		servers = append(servers, s)
	}
	return servers, ""
}
