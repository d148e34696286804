package orgacloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/tools/orgacloud"
)

// start starts a cloud for the duration of the test.
func start(t *testing.T, config orgacloud.Config) *orgacloud.Cloud {
	t.Helper()
	config.APIKey = orgatest.Key
	cloud, err := orgacloud.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	return cloud
}

// mint makes the two calls of the endpoint: a token, and its ICE servers.
func mint(t *testing.T, cloud *orgacloud.Cloud) orga.SessionConfig {
	t.Helper()
	config, err := orga.NewClient(orgatest.Key, orga.WithBaseURL(cloud.URL())).SessionConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// client behaves like Orga's client in a browser, as seen by a cloud.
type client struct {
	pc       *webrtc.PeerConnection
	channel  *webrtc.DataChannel
	events   chan map[string]any
	sound    chan []byte // Opus packets
	streamID chan string
}

// newClient creates a client with every server of the config or, if relayOnly, with its TURN servers alone.
func newClient(t *testing.T, config orga.SessionConfig, relayOnly bool) *client {
	t.Helper()
	var settings webrtc.SettingEngine
	settings.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetRelayAcceptanceMinWait(0) // no better candidate will come
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	rtc := webrtc.Configuration{}
	for _, s := range config.ICEServers {
		username, credential := s.Credential()
		rtc.ICEServers = append(rtc.ICEServers, webrtc.ICEServer{URLs: s.URLs(), Username: username, Credential: credential})
	}
	if relayOnly {
		rtc.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(rtc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	c := &client{pc: pc, events: make(chan map[string]any, 64), sound: make(chan []byte, 1024), streamID: make(chan string, 1)}

	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		c.streamID <- track.StreamID()
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			select {
			case c.sound <- packet.Payload:
			default:
			}
		}
	})
	microphone, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "microphone", "client")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTrack(microphone); err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	if c.channel, err = pc.CreateDataChannel("orga-realtime-client-events", nil); err != nil {
		t.Fatal(err)
	}
	c.channel.OnMessage(func(m webrtc.DataChannelMessage) {
		var event map[string]any
		if json.Unmarshal(m.Data, &event) == nil {
			c.events <- event
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		silence := []byte{0xf8, 0xff, 0xfe} // 20 ms of silence in Opus
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			_ = microphone.WriteSample(media.Sample{Data: silence, Duration: 20 * time.Millisecond})
		}
	}()
	return c
}

// offer gathers candidates and returns the request's body.
func (c *client) offer(t *testing.T) string {
	t.Helper()
	var candidates []webrtc.ICECandidateInit
	c.pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil {
			candidates = append(candidates, candidate.ToJSON())
		}
	})
	complete := webrtc.GatheringCompletePromise(c.pc)
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-complete
	body, err := json.Marshal(map[string]any{
		"offer":  map[string]any{"sdp": offer.SDP, "type": "offer", "candidates": candidates},
		"params": map[string]any{"return_transcription": true, "modalities": []string{"audio"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// call opens a call with the token, and returns the answer's status and body.
func call(t *testing.T, cloud *orgacloud.Cloud, token, offer string) (status int, body []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", cloud.URL()+"/v1/realtime/calls", strings.NewReader(offer))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	return do(t, r)
}

func do(t *testing.T, r *http.Request) (status int, body []byte) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// connect makes the call and applies its answer.
func (c *client) connect(t *testing.T, cloud *orgacloud.Cloud, token string) {
	t.Helper()
	status, body := call(t, cloud, token, c.offer(t))
	var answer struct {
		ConversationID string                    `json:"conversation_id"`
		Answer         webrtc.SessionDescription `json:"answer"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != 200 || answer.ConversationID == "" {
		t.Fatalf("call: %d %s", status, body)
	}
	if !strings.Contains(answer.Answer.SDP, "a=candidate:") {
		t.Error("the answer has no candidate, and none will trickle")
	}
	if err := c.pc.SetRemoteDescription(answer.Answer); err != nil {
		t.Fatal(err)
	}
}

// await waits for an event of the given type.
func (c *client) await(t *testing.T, kind string) map[string]any {
	t.Helper()
	for {
		select {
		case event := <-c.events:
			if event["type"] == kind {
				return event
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %s", kind)
		}
	}
}

// knobs sets knobs over HTTP.
func knobs(t *testing.T, cloud *orgacloud.Cloud, body string) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", cloud.URL()+"/knobs", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return do(t, r)
}

// errorCode returns the code of an error body.
func errorCode(body []byte) string {
	var answer struct {
		Error struct{ Code string }
	}
	_ = json.Unmarshal(bytes.TrimSpace(body), &answer)
	return answer.Error.Code
}

// withEmail mints with ?email=, as an older account does.
