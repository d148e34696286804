// Package requesttest has helpers for the tests of access, auth, cors and throttle: a mint that counts, and requests
// answered as by the endpoint.
package requesttest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"

	"github.com/orga-session/orga-session/core/internal/request"
)

// Minted stands in for the mint behind the middleware, and counts the requests that reach it. Read N once no request is in flight.
type Minted struct {
	N int

	mu sync.Mutex
}

func (m *Minted) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	m.N++
	m.mu.Unlock()
	w.WriteHeader(http.StatusOK)
}

// Serve answers r as the endpoint would, including the outermost layer.
func Serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	request.Handler(h, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	return w
}

// New returns a GET of the mint route with headers, given as name, value, name, value, …
func New(headers ...string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/api/orga-client-secrets", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// Code returns the code of a refusal, "" if the answer is not one.
func Code(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code < 400 {
		return ""
	}
	var body struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("the answer %d has no problem in it: %v", w.Code, err)
	}
	return body.Code
}

// Heap returns the number of heap bytes in use.
func Heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
