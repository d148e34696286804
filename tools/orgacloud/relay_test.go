package orgacloud_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"

	"github.com/orga-session/orga-session/tools/orgacloud"
)

// turnClient allocates on the TURN server at a URL.
func turnClient(t *testing.T, cloud *orgacloud.Cloud, url, username, credential string) (net.PacketConn, *turn.Client, error) {
	t.Helper()
	scheme, rest, _ := strings.Cut(url, ":")
	addr, query, _ := strings.Cut(rest, "?")
	var conn net.PacketConn
	switch {
	case scheme == "turns":
		c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: cloud.RootCAs()})
		if err != nil {
			t.Fatal(err)
		}
		conn = turn.NewSTUNConn(c)
	case query == "transport=tcp":
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn = turn.NewSTUNConn(c)
	default:
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn = c
	}
	t.Cleanup(func() { conn.Close() })
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: addr, STUNServerAddr: addr, Conn: conn, Username: username, Password: credential,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	relayed, err := client.Allocate()
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { relayed.Close() })
	return relayed, client, nil
}

func TestRelay(t *testing.T) {
	cloud := start(t, orgacloud.Config{TURNOverTLS: true})
	turnServer := mint(t, cloud).ICEServers[1]
	username, credential := turnServer.Credential()
	if len(turnServer.URLs()) != 3 {
		t.Fatalf("%q; want UDP, TCP and TLS", turnServer.URLs())
	}
	for _, url := range turnServer.URLs() {
		t.Run(url[:strings.IndexByte(url, ':')]+url[strings.IndexByte(url, '?'):], func(t *testing.T) {
			relayed, client, err := turnClient(t, cloud, url, username, credential)
			if err != nil {
				t.Fatal(err)
			}
			if seen, err := client.SendBindingRequest(); err != nil || seen == nil {
				t.Errorf("STUN: %v, %v", seen, err)
			}
			peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			before := cloud.Stats().Relay
			if _, err := relayed.WriteTo([]byte("there"), peer.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 64)
			n, from, err := peer.ReadFrom(b)
			if err != nil || string(b[:n]) != "there" || from.String() != relayed.LocalAddr().String() {
				t.Fatalf("the peer got %q from %v, %v", b[:n], from, err)
			}
			// pion's client drops packets while it binds a channel, so the peer repeats them.
			n, err = 0, os.ErrDeadlineExceeded
			sent := uint64(0)
			for errors.Is(err, os.ErrDeadlineExceeded) && sent < 40 {
				if _, err := peer.WriteTo([]byte("back"), from); err != nil {
					t.Fatal(err)
				}
				sent++
				if err := relayed.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				n, _, err = relayed.ReadFrom(b)
				if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
					err = os.ErrDeadlineExceeded
				}
			}
			if err != nil || string(b[:n]) != "back" {
				t.Fatalf("the client got %q, %v", b[:n], err)
			}
			after := cloud.Stats().Relay
			if out, in := after.BytesOut-before.BytesOut, after.BytesIn-before.BytesIn; out != 5 || in < 4 || in > 4*sent {
				t.Errorf("counted %d bytes out and %d in; want 5, %d", out, in, 4*sent)
			}
		})
	}
}

// The relay reaches only this machine.
func TestRelayStaysAtHome(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	turnServer := mint(t, cloud).ICEServers[1]
	username, credential := turnServer.Credential()
	relayed, _, err := turnClient(t, cloud, turnServer.URLs()[0], username, credential)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := relayed.WriteTo([]byte("out"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}); err == nil {
		t.Error("a packet to another machine was taken")
	}
	if n := cloud.Stats().Relay.BytesOut; n != 0 {
		t.Errorf("%d bytes left", n)
	}
}

// A credential belongs to one token: with another token's password or an invented username, nothing is allocated.
func TestRelayCredentials(t *testing.T) {
	cloud := start(t, orgacloud.Config{})
	first, second := mint(t, cloud).ICEServers[1], mint(t, cloud).ICEServers[1]
	username, credential := first.Credential()
	_, others := second.Credential()
	for _, test := range []struct{ name, username, credential string }{
		{"another token's password", username, others},
		{"a made-up name", "somebody", credential},
		{"a later expiry", "9" + username, credential},
		{"an earlier one", "1" + username[strings.IndexByte(username, ':'):], credential},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := cloud.Stats().Relay.Refused
			if _, _, err := turnClient(t, cloud, first.URLs()[0], test.username, test.credential); err == nil {
				t.Error("an address was allocated")
			}
			if cloud.Stats().Relay.Refused == before {
				t.Error("the refusal is not counted")
			}
		})
	}
}
