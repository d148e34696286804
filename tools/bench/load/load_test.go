package load_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/tools/bench/load"
	"github.com/orga-session/orga-session/tools/bench/standin"
)

const turn = 20 * time.Millisecond

// The direct client makes both calls to the stand-in, and believes neither without a look.
func TestDirect(t *testing.T) {
	authority := filepath.Join(t.TempDir(), "authority.pem")
	certificate, err := standin.Certificate(authority)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for name, certificate := range map[string]*tls.Certificate{"plain": nil, "TLS": certificate} {
		t.Run(name, func(t *testing.T) {
			orga, err := standin.StartOrga(time.Millisecond, certificate)
			if err != nil {
				t.Fatal(err)
			}
			defer orga.Close()
			u, err := url.Parse(orga.URL)
			if err != nil {
				t.Fatal(err)
			}
			clients, err := load.Connect(3, func() (*load.Conn, error) {
				return load.Dial(orga.URL, &tls.Config{RootCAs: pool})
			}, load.Direct(u.Host))
			if err != nil {
				t.Fatal(err)
			}
			defer clients.Close()
			r, err := clients.Run(turn)
			if err != nil || r.Requests < 3 || r.Latency(0.5) < 2*time.Millisecond {
				t.Errorf("%d requests, median %v, error %v; want some that took two delays of 1 ms", r.Requests, r.Latency(0.5), err)
			}
			if held := orga.Held(); held < time.Millisecond {
				t.Errorf("the stand-in says that it held answers for %v", held)
			}
			if orga.Opened() != 3 {
				t.Errorf("%d connections opened, want one a client", orga.Opened())
			}
		})
	}
}

// A measurement with a wrong answer in it is none.
func TestMintChecksAnswers(t *testing.T) {
	const number, other = "00000000000000aa", "00000000000000bb"
	whole := `{"ephemeralToken":"ephemeral-` + number + `.x","iceServers":[{"urls":"turn:t","credential":"turn-of-` + number + `"}]}`
	for _, test := range []struct {
		name, body string
		status     int
		fails      string
	}{
		{"whole", whole, 200, ""},
		{"the credential of another token", strings.Replace(whole, "turn-of-"+number, "turn-of-"+other, 1), 200, "does not belong"},
		{"no ICE servers", `{"ephemeralToken":"ephemeral-` + number + `.x"}`, 200, "does not belong"},
		{"no token", `{}`, 200, "no token"},
		{"a refusal", whole, 502, "502"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/mint" || r.Header.Get("Origin") != "https://app.example.com" {
					t.Errorf("asked for %s with origin %q", r.URL, r.Header.Get("Origin"))
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			do := load.Mint(server.Listener.Addr().String(), []string{"/mint"}, "Origin: https://app.example.com\r\n")
			clients, err := load.Connect(1, func() (*load.Conn, error) { return load.Dial(server.URL, nil) }, do)
			if err != nil {
				t.Fatal(err)
			}
			defer clients.Close()
			_, err = clients.Run(turn)
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("error %v, want one that says %q", err, test.fails)
			}
		})
	}
}
