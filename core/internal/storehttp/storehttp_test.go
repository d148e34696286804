package storehttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/internal/storehttp"
)

// A store that switches protocols and then says nothing holds neither a call nor its connection.
func TestSwitchingProtocols(t *testing.T) {
	closed := make(chan struct{}, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		closed <- struct{}{}
	}))
	defer server.Close()
	for name, client := range map[string]*http.Client{"kept": storehttp.New(), "new": storehttp.NewWithoutKeepAlives()} {
		if resp, err := client.Get(server.URL); err == nil {
			t.Errorf("%s connections: status %d", name, resp.StatusCode)
			resp.Body.Close()
		}
		select {
		case <-closed:
		case <-time.After(5 * time.Second):
			t.Errorf("%s connections: it is open", name)
		}
	}
}
