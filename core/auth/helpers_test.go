package auth_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/request"
)

// minted stands for the mint behind the chain, and counts what reaches it.
type minted struct {
	mu sync.Mutex
	n  int
}

func (m *minted) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	m.n++
	m.mu.Unlock()
	w.WriteHeader(http.StatusOK)
}

// serve answers r as the endpoint would, outermost layer included.
func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	request.Handler(h, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	return w
}

// newRequest is a GET of the mint route with headers given as name, value, name, value …
func newRequest(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// codeOf is the code of a refusal; "" when the answer is none.
func codeOf(t testing.TB, w *httptest.ResponseRecorder) string {
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

// whole makes a chain of methods alone.
func whole(methods ...auth.Method) (http.Handler, *minted) {
	m := new(minted)
	return auth.Require(auth.Options{Methods: methods})(m), m
}

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
