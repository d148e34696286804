package neterror_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/internal/neterror"
)

// quoted is a text that clients quote in their errors.
const quoted = "sent-by-the-server"

// certificate returns a certificate with quoted in its names.
func certificate(t *testing.T, name string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: quoted, Organization: []string{quoted}}, NotAfter: until,
		DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestUntrustedCertificates(t *testing.T) {
	later := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name    string
		cert    tls.Certificate
		trusted bool
		want    string
	}{
		{"another host", certificate(t, quoted+".example", later), true, "it is for another host"},
		{"expired", certificate(t, "localhost", time.Unix(1, 0)), true, "it has expired, or is not valid yet"},
		{"unknown authority", certificate(t, "localhost", later), false, "its authority is unknown"},
	} {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{tt.cert}}
		srv.StartTLS()
		pool := x509.NewCertPool()
		if tt.trusted {
			cert, err := x509.ParseCertificate(tt.cert.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			pool.AddCert(cert)
		}
		err := get(t, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}}, srv.URL)
		srv.Close()
		got := neterror.Describe(err)
		if got.Error() != "the certificate is not trusted: "+tt.want {
			t.Errorf("%s: %v, of %v", tt.name, got, err)
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](got); !ok {
			t.Errorf("%s: the cause is not found", tt.name)
		}
	}
}

func get(t *testing.T, transport http.RoundTripper, address string) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err == nil {
		resp.Body.Close()
		t.Fatal("no error")
	}
	return err
}

// net/http returns the text of a proxy's refusal as the error.
func TestProxy(t *testing.T) {
	proxy, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	go func() {
		conn, err := proxy.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 4<<10))
		_, _ = io.WriteString(conn, "HTTP/1.1 502 "+quoted+"\r\n\r\n")
	}()
	err = get(t, &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy.Addr().String()})}, "https://id.example")
	if got := neterror.Describe(err); !strings.Contains(err.Error(), quoted) || strings.Contains(got.Error(), quoted) {
		t.Errorf("%v, of %v", got, err)
	}
}

func TestDescribe(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, tt := range []struct {
		err  error
		want string
		is   error
	}{
		{&url.Error{Op: "Get", URL: "https://id.example/?key=" + quoted, Err: refused}, "dial tcp: connection refused", refused},
		{&url.Error{Op: "Get", URL: quoted, Err: context.DeadlineExceeded}, "context deadline exceeded", context.DeadlineExceeded},
		{&url.Error{Op: "Get", URL: quoted, Err: context.Canceled}, "context canceled", context.Canceled},
		{&net.DNSError{Err: quoted, IsTimeout: true}, "context deadline exceeded", context.DeadlineExceeded},
		{io.EOF, "closed before the complete answer arrived", io.ErrUnexpectedEOF},
		{io.ErrUnexpectedEOF, "closed before the complete answer arrived", io.ErrUnexpectedEOF},
		{errors.New("malformed HTTP response " + quoted), "the answer is unreadable, or ended early", nil},
	} {
		got := neterror.Describe(tt.err)
		if got.Error() != tt.want || tt.is != nil && !errors.Is(got, tt.is) {
			t.Errorf("%v: %v, want %s", tt.err, got, tt.want)
		}
	}
}
