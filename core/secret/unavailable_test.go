package secret_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// net/http quotes unreadable answers, but an outage must not.
func TestUnavailableQuotesNothing(t *testing.T) {
	for _, nonsense := range []string{
		canary + "\r\n\r\n",
		"HTTP/1.1 " + canary + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canary + "\r\n\r\n",
	} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4<<10))
			_, _ = fmt.Fprint(conn, nonsense)
			conn.Close()
		}()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+listener.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(req)
		listener.Close()
		if err == nil {
			resp.Body.Close()
			t.Fatal("the client read nonsense")
		}
		if secrettest.Leak(err.Error(), canary) == "" {
			t.Errorf("the client said %v; this test is for one that quotes", err)
		}
		silent(t, "an outage", secret.Unavailable(err))
	}
}

func TestUnavailable(t *testing.T) {
	for name, tt := range map[string]struct {
		err, is error
		text    string
	}{
		"a deadline":     {fmt.Errorf("%s: %w", canary, context.DeadlineExceeded), context.DeadlineExceeded, "the store did not answer in time: context deadline exceeded"},
		"a cancellation": {fmt.Errorf("%s: %w", canary, context.Canceled), context.Canceled, "context canceled"},
		"an early end":   {fmt.Errorf("%s: %w", canary, io.EOF), io.ErrUnexpectedEOF, "closed before the complete answer arrived"},
	} {
		if err := secret.Unavailable(tt.err); !errors.Is(err, tt.is) || err.Error() != tt.text {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}
