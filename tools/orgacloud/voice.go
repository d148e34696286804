package orgacloud

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"io"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

// Tone is the frequency that a call answers with, in hertz.
const Tone = 440

// toneFile is an Ogg Opus file of our own making: see tone.py.
//
//go:embed tone.ogg
var toneFile []byte

// packet is how much sound a packet of it holds.
const packet = 20 * time.Millisecond

// tonePackets are the Opus packets of the file, a packet a page.
func tonePackets() ([][]byte, error) {
	ogg, _, err := oggreader.NewWith(bytes.NewReader(toneFile))
	if err != nil {
		return nil, err
	}
	var packets [][]byte
	for {
		payload, page, err := ogg.ParseNextPage()
		switch {
		case errors.Is(err, io.EOF):
			return packets, nil
		case err != nil:
			return nil, err
		case page.GranulePosition > 0: // before it, the file's tags
			packets = append(packets, payload)
		}
	}
}

// speak plays the packets round and round until ctx ends.
func speak(ctx context.Context, track *webrtc.TrackLocalStaticSample, packets [][]byte) {
	ticker := time.NewTicker(packet)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if track.WriteSample(media.Sample{Data: packets[i%len(packets)], Duration: packet}) != nil {
				return
			}
		}
	}
}
