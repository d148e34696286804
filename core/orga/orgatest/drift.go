package orgatest

import (
	"fmt"
	"time"
)

// MintDrift is one way in which the mint's 200 has been written.
type MintDrift struct {
	Name   string
	Body   func(token string, expires time.Time) string
	Expiry bool // whether a client can know the expiry from it
}

// MintDrifts are all of them, the documented one first.
var MintDrifts = []MintDrift{
	{"documented", func(token string, at time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"token_type":"bearer","expires_at":%q}`, token, at.UTC().Format(time.RFC3339Nano))
	}, true},
	{"ephemeralToken", func(token string, at time.Time) string {
		return fmt.Sprintf(`{"ephemeralToken":%q,"expires_at":%q}`, token, at.UTC().Format(time.RFC3339))
	}, true},
	{"expires_at without a zone", func(token string, at time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"expires_at":%q}`, token, at.UTC().Format("2006-01-02T15:04:05.000000"))
	}, true},
	{"expires_at with a space", func(token string, at time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"expires_at":%q}`, token, at.UTC().Format("2006-01-02 15:04:05"))
	}, true},
	{"expires_at in another zone", func(token string, at time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"expires_at":%q}`, token, at.In(time.FixedZone("", 2*60*60)).Format(time.RFC3339))
	}, true},
	{"expires_at in Unix seconds", func(token string, at time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"token_type":"bearer","expires_at":%d}`, token, at.Unix())
	}, true},
	{"ttl", func(token string, at time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"ttl":%d}`, token, int(time.Until(at).Round(time.Second).Seconds()))
	}, true},
	{"expiry in the JWT alone", func(token string, _ time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"token_type":"bearer"}`, token)
	}, true},
	{"expires_at null", func(token string, _ time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"expires_at":null}`, token)
	}, true},
	{"expires_at that does not parse", func(token string, _ time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"expires_at":"in two minutes"}`, token)
	}, false},
	{"expires_at of another type", func(token string, _ time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"expires_at":{"seconds":1}}`, token)
	}, false},
	{"ttl that does not parse", func(token string, _ time.Time) string {
		return fmt.Sprintf(`{"ephemeral_token":%q,"ttl":"soon"}`, token)
	}, false},
}

// ICEDrift is one way in which the ICE call's 200 has been written.
type ICEDrift struct {
	Name string
	// Body is the answer, and the list that a client is to be handed of it, as JSON.
	Body func(username, credential string) (answer, handed string)
}

// ICEDrifts are all of them, the documented one first.
var ICEDrifts = []ICEDrift{
	{"documented", func(u, c string) (string, string) {
		list := fmt.Sprintf(`[{"urls":["stun:127.0.0.1:3478"]},{"urls":["turn:127.0.0.1:3478?transport=udp"],"username":%q,"credential":%q}]`, u, c)
		return `{"iceServers":` + list + `}`, list
	}},
	{"ice_servers", func(u, c string) (string, string) { return `{"ice_servers":` + one(u, c) + `}`, one(u, c) }},
	{"bare list", func(u, c string) (string, string) { return one(u, c), one(u, c) }},
	{"bare server", func(u, c string) (string, string) {
		list := one(u, c)
		return list[1 : len(list)-1], list
	}},
	{"one server under iceServers", func(u, c string) (string, string) {
		list := one(u, c)
		return `{"iceServers":` + list[1:len(list)-1] + `}`, list
	}},
	{"one server under ice_servers", func(u, c string) (string, string) {
		list := one(u, c)
		return `{"iceServers":null,"ice_servers":` + list[1:len(list)-1] + `}`, list
	}},
	{"urls as a string", func(u, c string) (string, string) {
		list := fmt.Sprintf(`[{"urls":"turn:127.0.0.1:3478","username":%q,"credential":%q}]`, u, c)
		return `{"iceServers":` + list + `}`, list
	}},
	{"null credentials", func(_, _ string) (string, string) {
		return `{"iceServers":[{"urls":"stun:127.0.0.1:3478","username":null,"credential":null}]}`, `[{"urls":"stun:127.0.0.1:3478"}]`
	}},
	{"empty credentials", func(_, _ string) (string, string) {
		return `{"iceServers":[{"username":"","urls":["stun:127.0.0.1:3478"],"credential":""}]}`, `[{"urls":["stun:127.0.0.1:3478"]}]`
	}},
	{"further members", func(u, c string) (string, string) {
		list := fmt.Sprintf(`[{"credentialType":"password","urls":["turn:127.0.0.1:3478"],"username":%q,"credential":%q,"ttl":86400}]`, u, c)
		return `{"iceServers":` + list + `,"ttl":86400}`, list
	}},
	{"empty list", func(_, _ string) (string, string) { return `{"iceServers":[]}`, `[]` }},
}

func one(username, credential string) string {
	return fmt.Sprintf(`[{"urls":["turn:127.0.0.1:3478"],"username":%q,"credential":%q}]`, username, credential)
}

// Sample is a body and what is special about it.
type Sample struct{ Name, Body string }

// BadMints are 200s of the mint that hold no token.
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
	{"two values", `{"ephemeral_token":"t"}{"ephemeral_token":"u"}`},
	{"HTML", htmlPage},
}

// BadICE are 200s of the ICE call that hold no usable list.
var BadICE = []Sample{
	{"nothing", ``},
	{"null", `null`},
	{"missing", `{}`},
	{"list null", `{"iceServers":null}`},
	{"list a string", `{"iceServers":"stun:127.0.0.1"}`},
	{"one server without urls", `{"iceServers":{"username":"u","credential":"c"}}`},
	{"server null", `{"iceServers":[null]}`},
	{"server a string", `{"iceServers":["stun:127.0.0.1"]}`},
	{"urls missing", `{"iceServers":[{"urls":"stun:127.0.0.1"},{"username":"u","credential":"c"}]}`},
	{"urls null", `{"iceServers":[{"urls":null}]}`},
	{"urls empty", `{"iceServers":[{"urls":""}]}`},
	{"urls an empty list", `{"iceServers":[{"urls":[]}]}`},
	{"urls with an empty one", `{"iceServers":[{"urls":["stun:127.0.0.1",""]}]}`},
	{"urls numbers", `{"iceServers":[{"urls":[1]}]}`},
	{"truncated", `{"iceServers":[{"urls":"stun:127.0.0.1"}`},
	{"two values", `[{"urls":"stun:127.0.0.1"}] []`},
	{"HTML", htmlPage},
}

// ErrorBodies are the ways in which an error has been explained.
var ErrorBodies = []Sample{
	{"documented", ErrorBody("some_code", "it went wrong")},
	{"message an object", `{"error":{"message":{"text":"it went wrong"},"type":"server_error","param":null,"code":null}}`},
	{"error a string", `{"error":"it went wrong"}`},
	{"detail a string", `{"detail":"it went wrong"}`},
	{"detail a list", `{"detail":[{"loc":["query","email"],"msg":"field required","type":"value_error.missing"}]}`},
	{"HTML", htmlPage},
	{"nothing", ``},
}

const htmlPage = "<!doctype html><html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"
