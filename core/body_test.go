package core_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core"
)

// A request is answered within the budget, however slow its body. If nobody reads the body, that and the end of the connection
// take a second: otherwise, refused requests could take all connections (fault 87).
func TestHangingRequestBody(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		set           env
		status        int
	}{
		{"a POST", "POST " + mintPath + " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n", nil, 504},
		{"a POST in chunks", "POST " + mintPath + " HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n", nil, 504},
		{"too large", "POST " + mintPath + " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n", nil, 413},
		{"a GET", "GET " + mintPath + " HTTP/1.1\r\nContent-Length: 100\r\n", nil, 200},
		{"a caller who is refused", "POST " + mintPath + " HTTP/1.1\r\nContent-Length: 100\r\n", env{"ORGA_AUTH": "gateway"}, 401},
		{"a header that is ambiguous", "POST " + mintPath + " HTTP/1.1\r\nContent-Length: 100\r\nOrigin: https://a.example\r\nOrigin: https://b.example\r\n", nil, 400},
		{"a tenant's handler", "POST /anywhere HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n", nil, 504},
		{"a caller refused by a tenant's handler", "POST /anywhere HTTP/1.1\r\nContent-Length: 100\r\n", env{"ORGA_AUTH": "gateway"}, 401},
		{"nowhere", "POST / HTTP/1.1\r\nContent-Length: 100\r\n", nil, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reads, set := tt.status == 504, env{"ORGA_TIMEOUT": "8s"}
			if reads {
				set["ORGA_TIMEOUT"] = "1s"
			}
			maps.Copy(set, tt.set)
			conn := connect(t, set)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprint(conn, tt.request+"Host: x\r\n\r\n")
			in := bufio.NewReader(conn)
			answer, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != tt.status {
				t.Errorf("%d", answer.StatusCode)
			}
			if _, err := io.Copy(io.Discard, in); err != nil {
				t.Errorf("the connection stays open: %v", err)
			}
		})
	}
}

// A connection serves further requests after one with a body, even after a pause longer than the time for a body.
func TestConnectionReuseAfterBody(t *testing.T) {
	conn := connect(t, env{"ORGA_TIMEOUT": "200ms"})
	answers := bufio.NewReader(conn)
	for range 2 {
		fmt.Fprint(conn, "POST "+mintPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		answer, err := http.ReadResponse(answers, nil)
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
		_ = answer.Write(nowhere{})
		<-time.After(1100 * time.Millisecond)
	}
}

// connect opens a connection to a deployment served by net/http.
func connect(t *testing.T, set env) net.Conn {
	t.Helper()
	endpoint := deploy(t, set, nil).handler.(*core.Endpoint)
	mux := http.NewServeMux()
	mux.Handle("/", endpoint)
	mux.Handle("/anywhere", endpoint.Tenant(""))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // before the server, which waits for it
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}
