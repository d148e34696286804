package orgacloud

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	// eventsLabel is the label of the data channel, which the client opens.
	eventsLabel = "orga-realtime-client-events"

	maxCalls = 32
	// maxCall bounds the duration of a call, such as in a forgotten tab.
	maxCall = 30 * time.Minute
	// setupTime bounds the time to answer an offer. pion allows the same time again until the call is connected.
	setupTime = 30 * time.Second
	// transcriptAfter is how many packets (20 ms each) the client sends before it gets a transcript.
	transcriptAfter = 50
)

// offer is the body of a call request.
type offer struct {
	Offer struct {
		SDP        string                    `json:"sdp"`
		Type       string                    `json:"type"`
		Candidates []webrtc.ICECandidateInit `json:"candidates"`
	} `json:"offer"`
	Params struct {
		ReturnTranscription bool `json:"return_transcription"`
	} `json:"params"`
}

// answer is the answer to a call request.
type answer struct {
	ConversationID string                    `json:"conversation_id"`
	Answer         webrtc.SessionDescription `json:"answer"`
}

// Reasons for refusing an offer, sent to the client.
var (
	errOffer    = errors.New("the offer cannot be answered")
	errTooMany  = fmt.Errorf("%d calls are open", maxCalls)
	errShutDown = errors.New("the cloud is closing")
)

// callServer answers calls. They all share one UDP port.
type callServer struct {
	api     *webrtc.API
	socket  net.PacketConn
	closeMu func() error
	tone    [][]byte

	wg     sync.WaitGroup
	mu     sync.Mutex
	calls  map[*call]struct{}
	closed bool
}

// call is an answered call.
type call struct {
	server     *callServer
	pc         *webrtc.PeerConnection
	track      *webrtc.TrackLocalStaticSample
	id         string
	transcribe bool
	silent     bool
	ctx        context.Context
	hangUp     context.CancelFunc
	over       chan struct{} // closed once it is cleaned up
	playing    sync.Once

	mu     sync.Mutex
	events *webrtc.DataChannel // nil until it is open
}

func startCallServer() (*callServer, error) {
	tone, err := tonePackets()
	if err != nil {
		return nil, err
	}
	codecs := new(webrtc.MediaEngine)
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	socket, err := net.ListenPacket("udp4", loopback)
	if err != nil {
		return nil, err
	}
	mux := webrtc.NewICEUDPMux(noLog.NewLogger("ice"), socket)
	settings := webrtc.SettingEngine{LoggerFactory: noLog}
	settings.SetICEUDPMux(mux)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	return &callServer{
		api:     webrtc.NewAPI(webrtc.WithMediaEngine(codecs), webrtc.WithSettingEngine(settings)),
		socket:  socket,
		closeMu: mux.Close,
		tone:    tone,
		calls:   map[*call]struct{}{},
	}, nil
}

// Close ends all calls and waits for their goroutines.
func (s *callServer) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.calls {
		c.hangUp()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return errors.Join(s.closeMu(), ignoreClosed(s.socket.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *callServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// answer opens a call. Its SDP contains all candidates, because nothing trickles. A silent call connects, but sends
// neither audio nor events.
func (s *callServer) answer(ctx context.Context, in offer, silent bool) (answer, error) {
	c, err := s.open(in.Params.ReturnTranscription, silent)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, setupTime)
	defer cancel()
	description, err := c.accept(ctx, in)
	if err != nil {
		c.hangUp()
		<-c.over // its place is free again
		return answer{}, err
	}
	return answer{c.id, description}, nil
}

// open registers a call, and cleans it up when it is over.
func (s *callServer) open(transcribe, silent bool) (*call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errShutDown
	case len(s.calls) >= maxCalls:
		return nil, errTooMany
	}
	pc, err := s.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	c := &call{server: s, pc: pc, id: "conv_" + rand.Text()[:16], transcribe: transcribe, silent: silent, over: make(chan struct{})}
	c.ctx, c.hangUp = context.WithTimeout(context.Background(), maxCall)
	s.calls[c] = struct{}{}
	s.wg.Go(func() {
		<-c.ctx.Done()
		_ = pc.GracefulClose() // errors do not matter any more
		s.mu.Lock()
		delete(s.calls, c)
		s.mu.Unlock()
		close(c.over)
	})
	return c, nil
}

func (c *call) accept(ctx context.Context, in offer) (description webrtc.SessionDescription, err error) {
	if in.Offer.Type != "offer" || in.Offer.SDP == "" {
		return description, fmt.Errorf("%w: it has no SDP of the type offer", errOffer)
	}
	c.pc.OnConnectionStateChange(c.onState)
	c.pc.OnDataChannel(c.onDataChannel)
	c.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { c.listen(track) })

	// Clients play the stream, not the track, so the SDP must have the stream's ID.
	c.track, err = webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "orga")
	if err != nil {
		return description, err
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: in.Offer.SDP}); err != nil {
		return description, fmt.Errorf("%w: %w", errOffer, err)
	}
	if _, err := c.pc.AddTrack(c.track); err != nil {
		return description, err
	}
	for _, candidate := range in.Offer.Candidates {
		// Candidates that are already in the SDP are harmless. A .local name does not resolve here, but its owner can
		// still reach us.
		if candidate.Candidate == "" || strings.Contains(candidate.Candidate, ".local ") {
			continue
		}
		if err := c.pc.AddICECandidate(candidate); err != nil {
			return description, fmt.Errorf("%w: a candidate: %w", errOffer, err)
		}
	}
	reply, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return description, fmt.Errorf("%w: %w", errOffer, err)
	}
	complete := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(reply); err != nil {
		return description, err
	}
	select {
	case <-complete:
	case <-ctx.Done():
		return description, ctx.Err()
	}
	return *c.pc.LocalDescription(), nil
}

func (c *call) onState(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		if !c.silent {
			c.playing.Do(func() { c.server.wg.Go(func() { playTone(c.ctx, c.track, c.server.tone) }) })
		}
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		c.hangUp()
	default: // connecting, or briefly disconnected
	}
}

// onDataChannel greets on the events channel and ignores others.
func (c *call) onDataChannel(channel *webrtc.DataChannel) {
	if channel.Label() != eventsLabel || c.silent {
		return
	}
	channel.OnMessage(func(m webrtc.DataChannelMessage) { c.onEvent(m.Data) })
	channel.OnOpen(func() {
		c.mu.Lock()
		c.events = channel
		c.mu.Unlock()
		c.send("session.created", map[string]any{"session": map[string]any{
			"id": "sess_" + rand.Text()[:16], "object": "realtime.session", "model": "orga-cloud-local",
			"return_transcription": c.transcribe,
		}})
		c.send("conversation.created", map[string]any{"conversation": map[string]any{"id": c.id}})
		c.send("response.output_item.done", map[string]any{
			"text": fmt.Sprintf("This is the local Orga Cloud. The tone you hear is %d Hz.", Tone),
		})
	})
}

// onEvent handles session.update, in the form that Orga's client sends and in the form of the other events.
func (c *call) onEvent(message []byte) {
	var event struct {
		Event string          `json:"event"`
		Type  string          `json:"type"`
		Data  json.RawMessage `json:"data"`
	}
	if json.Unmarshal(message, &event) != nil || event.Event != "session.update" && event.Type != "session.update" {
		return
	}
	if len(event.Data) == 0 {
		event.Data = json.RawMessage(`{}`)
	}
	c.send("session.updated", map[string]any{"session": event.Data})
}

// listen reads the client's audio and, after enough packets, sends a transcript that says so. It returns when the
// track ends.
func (c *call) listen(track *webrtc.TrackRemote) {
	transcribed := !c.transcribe || c.silent || track.Kind() != webrtc.RTPCodecTypeAudio
	for n := 1; ; n++ {
		if _, _, err := track.ReadRTP(); err != nil {
			return
		}
		if !transcribed && n >= transcriptAfter {
			transcribed = c.send("conversation.item.input_audio_transcription.completed", map[string]any{
				"transcript": fmt.Sprintf("(%.1f s of your audio reached the cloud)", (transcriptAfter * packetTime).Seconds()),
			}) && c.send("response.output_item.done", map[string]any{"text": "I can hear you."})
		}
	}
}

// send writes an event and reports whether the channel was open.
func (c *call) send(kind string, members map[string]any) bool {
	c.mu.Lock()
	channel := c.events
	c.mu.Unlock()
	if channel == nil {
		return false
	}
	members["type"] = kind
	text, _ := json.Marshal(members) // strings and valid JSON always marshal
	return channel.SendText(string(text)) == nil
}
