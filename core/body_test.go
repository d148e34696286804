package core_test

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core"
)

// A request is answered within the budget, however slow its body.
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
			set := env{"ORGA_TIMEOUT": "1s"}
			maps.Copy(set, tt.set)
			conn := connect(t, set)
			fmt.Fprint(conn, tt.request+"Host: x\r\n\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != tt.status {
				t.Errorf("%d", answer.StatusCode)
			}
		})
	}
}

// A connection serves further requests after one with a body, even after a pause longer than the budget.
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
		<-time.After(400 * time.Millisecond)
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
