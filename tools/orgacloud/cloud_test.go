package orgacloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/tools/orgacloud"
)

func Example() {
	cloud, err := orgacloud.Start(orgacloud.Config{APIKey: orgatest.Key})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()

	client := orga.NewClient(orgatest.Key, orga.WithBaseURL(cloud.URL()))
	config, err := client.SessionConfig(context.Background())
	fmt.Println(err, len(config.ICEServers), cloud.Stats().Minted)
	// Output: <nil> 2 1
}

func TestSession(t *testing.T) {
	for _, test := range []struct {
		name      string
		relayOnly bool
		pair      webrtc.ICECandidateType
	}{
		{"direct", false, webrtc.ICECandidateTypeHost},
		{"relay only", true, webrtc.ICECandidateTypeRelay},
	} {
		t.Run(test.name, func(t *testing.T) {
			cloud := start(t, orgacloud.Config{})
			config := mint(t, cloud)
			c := newClient(t, config, test.relayOnly)
			c.connect(t, cloud, config.Token.Reveal())

			c.await(t, "session.created")
			c.await(t, "conversation.created")
			if text := c.await(t, "response.output_item.done")["text"]; text == "" {
				t.Error("the greeting is empty")
			}
			if id := <-c.streamID; id == "" || id == "-" {
				t.Errorf("stream id %q: a client would have no stream to play", id)
			}
			tone, err := orgacloud.TonePackets()
			if err != nil {
				t.Fatal(err)
			}
			for range 10 {
				packet := <-c.sound
				if !slices.ContainsFunc(tone, func(p []byte) bool { return bytes.Equal(p, packet) }) {
					t.Fatalf("a packet of %d bytes is not of the tone", len(packet))
				}
			}
			if text := c.await(t, "conversation.item.input_audio_transcription.completed")["transcript"]; text == "" {
				t.Error("the transcript is empty")
			}
			if err := c.channel.SendText(`{"event":"session.update","data":{"temperature":0.5}}`); err != nil {
				t.Fatal(err)
			}
			if session, _ := c.await(t, "session.updated")["session"].(map[string]any); session["temperature"] != 0.5 {
				t.Errorf("session.updated: %v", session)
			}

			pair, err := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
			if err != nil || pair.Local.Typ != test.pair {
				t.Fatalf("selected %v, %v; want a %v", pair, err, test.pair)
			}
			stats := cloud.Stats()
			if stats.Calls != 1 || stats.CallsOpen != 1 {
				t.Errorf("calls %d, open %d; want 1, 1", stats.Calls, stats.CallsOpen)
			}
			if test.relayOnly {
				username, _ := config.ICEServers[1].Credential()
				if stats.Relay.BytesIn == 0 || stats.Relay.BytesOut == 0 || !slices.ContainsFunc(stats.Relay.Active,
					func(a orgacloud.Allocation) bool { return a.Username == username }) {
					t.Errorf("the relay carried nothing with %s's credential: %+v", username, stats.Relay)
				}
			}
		})
	}
}

// With a wrong TURN credential, a client gets no relay and no error.
func TestWrongTURNCredential(t *testing.T) {
	for _, fault := range []string{"wrong credential", "expired credential"} {
		t.Run(fault, func(t *testing.T) {
			cloud := start(t, orgacloud.Config{Knobs: orgacloud.Knobs{Relay: fault}})
			c := newClient(t, mint(t, cloud), true)
			if offer := c.offer(t); strings.Contains(offer, "typ relay") {
				t.Error("a relayed address was allocated")
			}
			if cloud.Stats().Relay.Refused == 0 {
				t.Error("the refusal is not in the stats")
			}
		})
	}
}

func TestTokens(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	config := mint(t, cloud)
	c := newClient(t, config, false)
	offer := c.offer(t)
	spent := config.Token.Reveal()
	if status, body := call(t, cloud, spent, offer); status != 200 {
		t.Fatalf("the first call: %d %s", status, body)
	}
	for _, test := range []struct{ name, token, code string }{
		{"spent", spent, "token_spent"},
		{"none", "", "invalid_token"},
		{"made up", "made.up.token", "invalid_token"},
		{"one letter off", mint(t, cloud).Token.Reveal() + "x", "invalid_token"},
		{"permanent key", orgatest.Key, "permanent_key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := call(t, cloud, test.token, offer)
			if status != 401 || errorCode(body) != test.code {
				t.Errorf("call: %d %s; want 401 %s", status, body, test.code)
			}
			if test.token != "" && bytes.Contains(body, []byte(test.token)) {
				t.Error("the answer repeats the credential")
			}
			_, err := orga.NewClient(orgatest.Key, orga.WithBaseURL(cloud.URL())).ICEServers(t.Context(), orga.NewEphemeralToken(cmp(test.token), time.Time{}))
			if !errors.Is(err, orga.ErrAuthentication) {
				t.Errorf("ICE: %v; want a refusal", err)
			}
		})
	}
	if n := cloud.Stats().Refused["token_spent"]; n != 2 {
		t.Errorf("%d refusals of a spent token in the stats, want 2", n)
	}
}

// cmp replaces an empty credential, which a client would not send.
func cmp(token string) string {
	if token == "" {
		return "none"
	}
	return token
}

func TestMintRefusesOtherKeys(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	_, err := orga.NewClient(orgatest.Key+"1", orga.WithBaseURL(cloud.URL())).MintToken(t.Context())
	if !errors.Is(err, orga.ErrAuthentication) {
		t.Errorf("%v; want a refusal", err)
	}
}

func TestEmailIsTaken(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	if _, err := orga.NewClient(orgatest.Key, orga.WithBaseURL(cloud.URL()), orga.WithUserEmail("someone@example.com")).MintToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	if emails := cloud.Stats().Emails; !slices.Equal(emails, []string{"someone@example.com"}) {
		t.Errorf("emails %q", emails)
	}
}

func TestOffersThatCannotBeAnswered(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	for _, test := range []struct {
		name, body string
		status     int
	}{
		{"nothing", ``, 400},
		{"no JSON", `sdp`, 400},
		{"too large", `{"offer":{"sdp":"` + strings.Repeat("x", 300<<10) + `"}}`, 400},
		{"no offer", `{}`, 422},
		{"an answer", `{"offer":{"sdp":"v=0","type":"answer"}}`, 422},
		{"no SDP", `{"offer":{"sdp":"hello","type":"offer"}}`, 422},
	} {
		t.Run(test.name, func(t *testing.T) {
			if status, body := call(t, cloud, mint(t, cloud).Token.Reveal(), test.body); status != test.status {
				t.Errorf("%d %s; want %d", status, body, test.status)
			}
		})
	}
	if n := cloud.Stats().CallsOpen; n != 0 {
		t.Errorf("%d calls are open", n)
	}
}

// Pages of every origin can open a call, and read why it was refused.
func TestCallsAcrossOrigins(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	for _, method := range []string{"OPTIONS", "POST"} {
		r, err := http.NewRequestWithContext(t.Context(), method, cloud.URL()+"/v1/realtime/calls", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://app.example")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Values("Access-Control-Allow-Origin"); !slices.Equal(got, []string{"*"}) {
			t.Errorf("%s: Access-Control-Allow-Origin %q", method, got)
		}
	}
}

func TestShapesDecode(t *testing.T) {
	choices := orgacloud.AllChoices()
	for _, shape := range choices.TokenShape {
		t.Run("token "+shape, func(t *testing.T) {
			cloud := start(t, orgacloud.Config{Knobs: orgacloud.Knobs{TokenShape: shape}})
			if mint(t, cloud).Token.Reveal() == "" {
				t.Error("no token")
			}
		})
	}
	for _, shape := range choices.ICEShape {
		t.Run("ICE "+shape, func(t *testing.T) {
			cloud := start(t, orgacloud.Config{Knobs: orgacloud.Knobs{ICEShape: shape}})
			config, err := orga.NewClient(orgatest.Key, orga.WithBaseURL(cloud.URL())).SessionConfig(t.Context())
			switch shape {
			case "null list", "server without urls":
				if !errors.Is(err, orga.ErrMalformed) {
					t.Errorf("%v; want it refused", err)
				}
			case "empty list":
				if err != nil || len(config.ICEServers) != 0 {
					t.Errorf("%d servers, %v", len(config.ICEServers), err)
				}
			default:
				if err != nil || len(config.ICEServers) == 0 {
					t.Errorf("%d servers, %v", len(config.ICEServers), err)
				}
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for _, name := range orgacloud.AllChoices().Fault {
		t.Run(name, func(t *testing.T) {
			fault := orgacloud.Fault{Fault: name, Times: 1}
			cloud := start(t, orgacloud.Config{Knobs: orgacloud.Knobs{Mint: fault, ICE: fault, Call: fault}})
			client := orga.NewClient(orgatest.Key, orga.WithBaseURL(cloud.URL()),
				orga.WithTransport(&http.Transport{DisableKeepAlives: true})) // otherwise the transport would retry
			faulty := func() context.Context {
				if name != "no answer at all" {
					return t.Context()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				t.Cleanup(cancel)
				return ctx
			}
			if _, err := client.MintToken(faulty()); err == nil {
				t.Error("the first mint went through")
			} else if strings.Contains(err.Error(), orgatest.Key) {
				t.Errorf("the key is in %q", err)
			}
			token, err := client.MintToken(t.Context())
			if err != nil {
				t.Fatalf("the second mint: %v", err)
			}
			if _, err := client.ICEServers(faulty(), token); err == nil {
				t.Error("the first ICE call went through")
			}
			if _, err := client.ICEServers(t.Context(), token); err != nil {
				t.Errorf("the second ICE call: %v", err)
			}
			if cloud.Knobs().Mint.Fault != "" {
				t.Error("the knob still shows a fault that is over")
			}
		})
	}
}

func TestKnobsOverHTTP(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	for _, test := range []struct {
		name, body string
		status     int
	}{
		{"all off", `{}`, 200},
		{"a fault", `{"mint":{"fault":"503","times":2,"latencyMs":5}}`, 200},
		{"a shape", `{"tokenShape":"ttl","iceShape":"bare list","relay":"wrong credential"}`, 200},
		{"no such fault", `{"mint":{"fault":"sulks"}}`, 400},
		{"no such knob", `{"volume":11}`, 400},
		{"too late", `{"ice":{"latencyMs":60001}}`, 400},
		{"no JSON", `mint=503`, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := cloud.Knobs()
			status, body := knobs(t, cloud, test.body)
			if status != test.status {
				t.Fatalf("%d %s; want %d", status, body, test.status)
			}
			if status != 200 {
				if cloud.Knobs() != before {
					t.Error("the knobs moved")
				}
				return
			}
			var answer struct{ Knobs orgacloud.Knobs }
			if err := json.Unmarshal(body, &answer); err != nil || answer.Knobs != cloud.Knobs() {
				t.Errorf("%v: %s", err, body)
			}
		})
	}
}

func TestClockSkew(t *testing.T) {
	cloud := start(t, orgacloud.Config{Knobs: orgacloud.Knobs{TokenTTLSeconds: 60, ClockSkewSeconds: 3600}})
	if left := time.Until(mint(t, cloud).Token.ExpiresAt); left < 59*time.Minute {
		t.Errorf("the token tells it has %v left; want an hour more than it has", left)
	}
}

func TestStatePage(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	token := mint(t, cloud).Token.Reveal()
	for _, path := range []string{"/", "/stats"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", cloud.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		status, body := do(t, r)
		if status != 200 || !bytes.Contains(body, []byte("inted")) {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if bytes.Contains(body, []byte(token)) || bytes.Contains(body, []byte(orgatest.Key)) {
			t.Errorf("%s shows a credential", path)
		}
	}
}

func TestTURNOverTLS(t *testing.T) {
	cloud := start(t, orgacloud.Config{TURNOverTLS: true})
	if cloud.RootCAs() == nil {
		t.Error("nothing trusts its certificate")
	}
	if urls := mint(t, cloud).ICEServers[1].URLs(); !slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, "turns:127.0.0.1:") }) {
		t.Errorf("no turns: in %q", urls)
	}
}

// Close ends calls, hanging requests, and every goroutine.
func TestCloseLeavesNothing(t *testing.T) {
	cloud, err := orgacloud.Start(orgacloud.Config{APIKey: orgatest.Key})
	if err != nil {
		t.Fatal(err)
	}
	config := mint(t, cloud)
	addr, _, _ := strings.Cut(strings.TrimPrefix(config.ICEServers[1].URLs()[1], "turn:"), "?")
	idle, err := net.Dial("tcp", addr) // an idle TURN client
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	c := newClient(t, config, true)
	c.connect(t, cloud, config.Token.Reveal())
	c.await(t, "session.created")
	if err := cloud.Set(orgacloud.Knobs{Mint: orgacloud.Fault{Fault: "no answer at all"}}); err != nil {
		t.Fatal(err)
	}
	hanging := make(chan error, 1)
	go func() {
		_, err := orga.NewClient(orgatest.Key, orga.WithBaseURL(cloud.URL())).MintToken(t.Context())
		hanging <- err
	}()
	for cloud.Stats().Refused["fault: no answer at all"] == 0 {
		runtime.Gosched()
	}
	if err := cloud.Close(); err != nil {
		t.Error(err)
	}
	if err := <-hanging; !errors.Is(err, orga.ErrConnection) {
		t.Errorf("the hanging mint: %v", err)
	}
	if err := idle.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a connection to the TURN server is still open")
	}
	_ = c.pc.GracefulClose()
	http.DefaultClient.CloseIdleConnections()
	var stacks string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "pion/turn") && !strings.Contains(stacks, "orgacloud.(*") {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", stacks)
}
