// Command tuned makes Orga's two calls without anything else: no authentication, limit, log line, validation or retry. It
// shows the cost of net/http itself, which is the lower bound for the endpoint.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

var (
	buffers     = sync.Pool{New: func() any { return new(bytes.Buffer) }}
	transport   = &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	contentType = []string{"application/json"}
)

func main() {
	base, err := url.Parse(os.Getenv("ORGA_BASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	mint, ice := *base, *base
	mint.Path, ice.Path = "/v1/realtime/client-secrets", "/v1/realtime/ice-config"
	bearer := []string{"Bearer " + os.Getenv("ORGA_API_KEY")}
	handler := func(w http.ResponseWriter, r *http.Request) {
		minted, iceServers := buffers.Get().(*bytes.Buffer), buffers.Get().(*bytes.Buffer)
		defer buffers.Put(minted)
		defer buffers.Put(iceServers)
		err := call(r, http.MethodPost, &mint, bearer, minted)
		token, _, _ := bytes.Cut(after(minted, `"ephemeral_token":"`), []byte{'"'})
		if err == nil {
			err = call(r, http.MethodGet, &ice, []string{"Bearer " + string(token)}, iceServers)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		answer := fmt.Appendf(nil, `{"ephemeralToken":"%s","iceServers":%s`, token, after(iceServers, `"iceServers":`))
		w.Header()["Content-Type"] = contentType
		_, _ = w.Write(answer)
	}
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: http.HandlerFunc(handler), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// call reads Orga's answer into body.
func call(r *http.Request, method string, u *url.URL, authorization []string, body *bytes.Buffer) error {
	body.Reset()
	out := &http.Request{Method: method, URL: u, Host: u.Host, Header: http.Header{"Authorization": authorization}}
	resp, err := transport.RoundTrip(out.WithContext(r.Context()))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(body, resp.Body)
	return err
}

// after returns the text after prefix in body.
func after(body *bytes.Buffer, prefix string) []byte {
	_, rest, _ := bytes.Cut(body.Bytes(), []byte(prefix))
	return rest
}
