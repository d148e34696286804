package canary

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/orga"
)

func TestParseTURN(t *testing.T) {
	for address, want := range map[string]*turnServer{
		"turn:turn.example":                    {"udp", "turn.example:3478", false},
		"turn:turn.example:80?transport=tcp":   {"tcp", "turn.example:80", false},
		"turn:turn.example?transport=udp":      {"udp", "turn.example:3478", false},
		"turns:turn.example":                   {"tcp", "turn.example:5349", true},
		"turns:turn.example:443?transport=tcp": {"tcp", "turn.example:443", true},
		"turn:[2001:db8::1]:3479":              {"udp", "[2001:db8::1]:3479", false},
		"turn:203.0.113.7":                     {"udp", "203.0.113.7:3478", false},
		"turns:turn.example?transport=udp":     nil,
		"turn:turn.example?transport=sctp":     nil,
		"stun:stun.example":                    nil,
		"https://turn.example":                 nil,
		"turn:":                                nil,
		"turn:turn.example:many?transport=udp": nil,
		"":                                     nil,
		"turn:%zz":                             nil,
	} {
		got, ok := parseTURN(address)
		if ok != (want != nil) || ok && got != *want {
			t.Errorf("%q: %v %v", address, got, ok)
		}
	}
}

// The log has no texts of a server's certificate, not even of one that cannot be parsed.
func TestTURNCertificates(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"http://name.example": "the certificate is not trusted: its authority is unknown",
		"http://[name":        "the answer is unreadable, or ended early",
	} {
		named := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, URIs: []*url.URL{{Opaque: address}}}
		der, err := x509.CreateCertificate(nil, named, named, pub, key)
		if err != nil {
			t.Fatal(err)
		}
		listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if conn, err := listener.Accept(); err == nil {
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
		}()
		server, _ := parseTURN("turns:" + listener.Addr().String())
		if err := server.allocate(t.Context(), "ada", "secret"); err == nil || err.Error() != want {
			t.Errorf("a certificate for %s: %v", address, err)
		}
		listener.Close()
	}
}

// RFC 5769, section 2.4: the sample request with long-term authentication.
func TestMessageIntegrity(t *testing.T) {
	const sample = "000100602112a44278ad3433c6ad72c029da412e" +
		"00060012e3839ee38388e383aae38383e382afe382b90000" +
		"0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341" +
		"0014000b6578616d706c652e6f726700" +
		"00080014f67024656dd64a3e02b8e0712e85c9a28ca89666"
	want, err := hex.DecodeString(sample)
	if err != nil {
		t.Fatal(err)
	}
	m := message{kind: 1, attributes: []attribute{
		{attrUsername, []byte("マトリックス")}, {attrNonce, []byte("f//499k954d6OL34oL9FSTvy64sA")}, {attrRealm, []byte("example.org")},
	}}
	copy(m.id[:], want[8:])
	key := md5.Sum([]byte("マトリックス:example.org:TheMatrIX"))
	if got := m.sign(key[:]).bytes(); !bytes.Equal(got, want) {
		t.Errorf("\n%x\n%x", got, want)
	}
	parsed, ok := parseMessage(want)
	if !ok || string(parsed.get(attrRealm)) != "example.org" || !bytes.Equal(parsed.bytes(), want) {
		t.Errorf("parsed as %+v", parsed)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(newMessage(allocateRequest, attribute{attrTransport, []byte{17, 0, 0, 0}}).bytes())
	f.Add([]byte("\x01\x13\x00\x05!\x12\xa4Babcdefghijkl\x00\x09\x00\x01\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parseMessage(b); ok {
			_ = m.code()
			if again, ok := parseMessage(m.bytes()); !ok || len(again.attributes) != len(m.attributes) {
				t.Errorf("%x became %x", b, m.bytes())
			}
		}
	})
}

// startTURN starts a TURN server over UDP that answers each request with reply; nil sends nothing. It returns its address.
func startTURN(t *testing.T, reply func(request message) *message) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			request, ok := parseMessage(buf[:n])
			if !ok {
				t.Errorf("not STUN: %x", buf[:n])
				return
			}
			if answer := reply(request); answer != nil {
				answer.id = request.id
				_, _ = conn.WriteTo(answer.bytes(), from)
			}
		}
	}()
	return "turn:" + conn.LocalAddr().String()
}

// refusal returns an error response.
func refusal(code int, nonce string) *message {
	return &message{kind: allocateRequest | errorClass, attributes: []attribute{
		{attrError, []byte{0, 0, byte(code / 100), byte(code % 100)}}, {attrRealm, []byte("r")}, {attrNonce, []byte(nonce)},
	}}
}

// relayed returns a success response.
func relayed(message) *message {
	return &message{kind: allocateRequest | successClass, attributes: []attribute{{attrRelayed, make([]byte, 8)}}}
}

func servers(t *testing.T, addresses ...string) []orga.ICEServer {
	t.Helper()
	urls, err := json.Marshal(addresses)
	if err != nil {
		t.Fatal(err)
	}
	var list []orga.ICEServer
	if err := json.Unmarshal([]byte(`[{"urls":["stun:stun.example"]},{"urls":`+string(urls)+`,"username":"u","credential":"c"}]`), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAllocate(t *testing.T) {
	unsigned := func(m message) bool { return m.get(attrIntegrity) == nil }
	for _, tt := range []struct {
		name  string
		reply func(request message) *message
		fails string // "" if it relays
	}{
		{"no credential is asked for", relayed, ""},
		{"the credential is refused", func(message) *message { return refusal(401, "n") }, "it refuses the credential"},
		{"the quota is reached", func(m message) *message {
			if unsigned(m) {
				return refusal(401, "n")
			}
			return refusal(486, "n")
		}, "error 486"},
		{"the nonce expires once", func(m message) *message {
			switch {
			case unsigned(m):
				return refusal(401, "first")
			case string(m.get(attrNonce)) == "first":
				return refusal(438, "second")
			}
			return relayed(m)
		}, ""},
		{"the nonce always expires", func(m message) *message {
			if unsigned(m) {
				return refusal(401, "n")
			}
			return refusal(438, "second")
		}, "error 438"},
		{"another protocol", func(message) *message { return &message{kind: 0x0101} }, "it does not answer as a TURN server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := startTURN(t, tt.reply)
			relays, failures := allocate(t.Context(), servers(t, address))
			if tt.fails == "" && (len(relays) != 1 || len(failures) > 0) || tt.fails != "" && (len(failures) != 1 || !strings.HasPrefix(failures[0], address+": "+tt.fails)) {
				t.Errorf("relays %v, failures %v", relays, failures)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent := startTURN(t, func(message) *message { cancel(); return nil })
	if relays, failures := allocate(ctx, servers(t, silent)); len(relays) > 0 || len(failures) != 1 || !strings.HasSuffix(failures[0], "no answer within 5 s") {
		t.Errorf("a silent server: relays %v, failures %v", relays, failures)
	}
	working, broken := startTURN(t, relayed), startTURN(t, func(message) *message { return refusal(401, "n") })
	if relays, failures := allocate(t.Context(), servers(t, working, broken)); len(relays) != 1 || len(failures) != 1 {
		t.Errorf("one of two works: relays %v, failures %v", relays, failures)
	}
}
