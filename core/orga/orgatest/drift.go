package orgatest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// MintDrift is one form of the mint's 200.
type MintDrift struct {
	Name   string
	Body   func(token string, expires time.Time) string
	Expiry bool // the expiry can be determined from it
}

// MintDrifts are the known forms, the documented one first.
var MintDrifts = []MintDrift{
	{"documented", mint(`"ephemeral_token":%q,"token_type":"bearer","expires_at":%q`, layout(time.RFC3339Nano)), true},
	{"ephemeralToken", mint(`"ephemeralToken":%q,"expires_at":%q`, layout(time.RFC3339)), true},
	{"expires_at without a zone", mint(`"ephemeral_token":%q,"expires_at":%q`, layout("2006-01-02T15:04:05.000000")), true},
	{"expires_at with a space", mint(`"ephemeral_token":%q,"expires_at":%q`, layout(time.DateTime)), true},
	{"expires_at in another zone", mint(`"ephemeral_token":%q,"expires_at":%q`, func(at time.Time) any {
		return at.In(time.FixedZone("", 2*60*60)).Format(time.RFC3339)
	}), true},
	{"expires_at in Unix seconds", mint(`"ephemeral_token":%q,"token_type":"bearer","expires_at":%d`, func(at time.Time) any { return at.Unix() }), true},
	{"ttl", mint(`"ephemeral_token":%q,"ttl":%d`, func(at time.Time) any { return int(time.Until(at).Round(time.Second).Seconds()) }), true},
	{"expiry in the JWT alone", mint(`"ephemeral_token":%q,"token_type":"bearer"`, nil), true},
	{"expires_at null", mint(`"ephemeral_token":%q,"expires_at":null`, nil), true},
	{"expires_at that does not parse", mint(`"ephemeral_token":%q,"expires_at":"in two minutes"`, nil), false},
	{"expires_at of another type", mint(`"ephemeral_token":%q,"expires_at":{"seconds":1}`, nil), false},
	{"ttl that does not parse", mint(`"ephemeral_token":%q,"ttl":"soon"`, nil), false},
}

// mint returns the Body whose members have the token and, unless expiry is nil, the expiry as its second value.
func mint(members string, expiry func(time.Time) any) func(string, time.Time) string {
	return func(token string, at time.Time) string {
		values := []any{token}
		if expiry != nil {
			values = append(values, expiry(at))
		}
		return fmt.Sprintf("{"+members+"}", values...)
	}
}

func layout(layout string) func(time.Time) any {
	return func(at time.Time) any { return at.UTC().Format(layout) }
}

// ICEServer is one server of the API's list.
type ICEServer struct {
	URLs                 []string
	Username, Credential string // both "" for STUN
}

// json returns the entry of a list, with urls in the given form.
func (s ICEServer) json(urls any) string {
	text, _ := json.Marshal(urls) // a string or a list of strings always marshals
	if s.Username == "" && s.Credential == "" {
		return fmt.Sprintf(`{"urls":%s}`, text)
	}
	return fmt.Sprintf(`{"urls":%s,"username":%q,"credential":%q}`, text, s.Username, s.Credential)
}

func list(servers []ICEServer, entry func(ICEServer) string) string {
	var entries []string
	for _, s := range servers {
		entries = append(entries, entry(s))
	}
	return "[" + strings.Join(entries, ",") + "]"
}

func documented(s ICEServer) string { return s.json(s.URLs) }

// ICEDrift is one form of the ICE call's 200.
type ICEDrift struct {
	Name string
	// Body returns the answer for a list of servers, and what a client passes on of it, both as JSON.
	Body func(servers []ICEServer) (answer, passedOn string)
}

// ICEDrifts are the known forms, the documented one first.
var ICEDrifts = []ICEDrift{
	{"documented", under("iceServers", list)},
	{"ice_servers", under("ice_servers", list)},
	{"bare list", func(servers []ICEServer) (string, string) {
		return list(servers, documented), list(servers, documented)
	}},
	{"bare server", func(servers []ICEServer) (string, string) {
		return last(servers, documented), "[" + last(servers, documented) + "]"
	}},
	{"one server under iceServers", func(servers []ICEServer) (string, string) {
		answer, _ := under("iceServers", last)(servers)
		return answer, "[" + last(servers, documented) + "]"
	}},
	{"one server under ice_servers", func(servers []ICEServer) (string, string) {
		return `{"iceServers":null,"ice_servers":` + last(servers, documented) + `}`, "[" + last(servers, documented) + "]"
	}},
	{"urls as a string", func(servers []ICEServer) (string, string) {
		text := list(servers, func(s ICEServer) string {
			var entries []string
			for _, url := range s.URLs {
				entries = append(entries, s.json(url))
			}
			return strings.Join(entries, ",")
		})
		return `{"iceServers":` + text + `}`, text
	}},
	{"null credentials", withSTUN(`,"username":null,"credential":null}`)},
	{"empty credentials", withSTUN(`,"username":"","credential":""}`)},
	{"further members", func(servers []ICEServer) (string, string) {
		text := list(servers, func(s ICEServer) string {
			return `{"credentialType":"password",` + documented(s)[1:len(documented(s))-1] + `,"ttl":86400}`
		})
		return `{"iceServers":` + text + `,"ttl":86400}`, text
	}},
	{"empty list", func([]ICEServer) (string, string) { return `{"iceServers":[]}`, `[]` }},
}

// under returns the servers as one member of an object.
func under(name string, write func([]ICEServer, func(ICEServer) string) string) func([]ICEServer) (answer, passedOn string) {
	return func(servers []ICEServer) (string, string) {
		text := write(servers, documented)
		return fmt.Sprintf(`{%q:%s}`, name, text), text
	}
}

func last(servers []ICEServer, entry func(ICEServer) string) string {
	return entry(servers[len(servers)-1])
}

// withSTUN changes the entries of STUN servers, which have no credential.
func withSTUN(end string) func([]ICEServer) (answer, passedOn string) {
	return func(servers []ICEServer) (string, string) {
		return `{"iceServers":` + list(servers, func(s ICEServer) string {
			if s.Credential == "" {
				return strings.TrimSuffix(documented(s), "}") + end
			}
			return documented(s)
		}) + `}`, list(servers, documented)
	}
}

// Sample is a body, with a description.
type Sample struct{ Name, Body string }

// BadMints are 200s of the mint without a usable token.
var BadMints = []Sample{
	{"nothing", ``},
	{"null", `null`},
	{"empty object", `{}`},
	{"list", `[]`},
	{"token null", `{"ephemeral_token":null}`},
	{"token empty", `{"ephemeral_token":"","ephemeralToken":""}`},
	{"token a number", `{"ephemeral_token":7}`},
	{"token an object", `{"ephemeral_token":{"value":"t"}}`},
	{"token with a line break", `{"ephemeral_token":"t\r\nX-Injected: 1"}`},
	{"token in other case", `{"EPHEMERAL_TOKEN":"t"}`},
	{"truncated", `{"ephemeral_token":"t"`},
	{"truncated in an escape", `{"ephemeral_token":"\`},
	{"truncated in a long escape", `{"ephemeral_token":"\u00`},
	{"two values", `{"ephemeral_token":"t"}{"ephemeral_token":"u"}`},
	{"HTML", htmlPage},
}

// BadICE are 200s of the ICE call without a usable list.
var BadICE = []Sample{
	{"nothing", ``},
	{"null", `null`},
	{"missing", `{}`},
	{"something else", `{"detail":"no servers today"}`},
	{"not UTF-8", `{"iceServers":[{"urls":"turn:a` + "\xff" + `"}]}`},
	{"list null", `{"iceServers":null}`},
	{"list a string", `{"iceServers":"stun:127.0.0.1"}`},
	{"one server without urls", `{"iceServers":{"username":"u","credential":"c"}}`},
	{"server null", `{"iceServers":[null]}`},
	{"server a string", `{"iceServers":["stun:127.0.0.1"]}`},
	{"urls missing", `{"iceServers":[{"urls":"stun:127.0.0.1"},{"username":"u","credential":"c"}]}`},
	{"urls null", `{"iceServers":[{"urls":null}]}`},
	{"urls empty", `{"iceServers":[{"urls":""}]}`},
	{"urls an empty list", `{"iceServers":[{"urls":[]}]}`},
	{"urls that begin with an empty one", `{"iceServers":[{"urls":["","stun:127.0.0.1"]}]}`},
	{"urls with an empty one", `{"iceServers":[{"urls":["stun:127.0.0.1",""]}]}`},
	{"urls numbers", `{"iceServers":[{"urls":[1]}]}`},
	{"truncated", `{"iceServers":[{"urls":"stun:127.0.0.1"}`},
	{"two values", `[{"urls":"stun:127.0.0.1"}] []`},
	{"HTML", htmlPage},
}

const htmlPage = "<!doctype html><html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"
