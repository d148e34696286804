//go:build js && wasm

package workers

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"syscall/js"
	"time"
)

// responseWriter is an http.ResponseWriter that records the answer by the rules of net/http: the first WriteHeader fixes
// the status and headers, and no WriteHeader means 200.
type responseWriter struct {
	header   http.Header // may still be changed by the handler
	sent     http.Header // nil until WriteHeader
	status   int
	body     bytes.Buffer
	deadline time.Time // for reading the request's body
}

func newResponseWriter() *responseWriter { return &responseWriter{header: make(http.Header)} }

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if w.sent != nil || status < 200 { // a provisional answer cannot be sent
		return
	}
	w.status, w.sent = status, maps.Clone(w.header)
}

func (w *responseWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	return w.body.Write(b)
}

// SetReadDeadline implements a method of [http.ResponseController].
func (w *responseWriter) SetReadDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

// requestBody reads the request's body on demand: a body that never ends must not delay a refusal.
func (w *responseWriter) requestBody(ctx context.Context) io.ReadCloser {
	return &body{next: func() (js.Value, error) {
		ctx := ctx
		if !w.deadline.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadlineCause(ctx, w.deadline, os.ErrDeadlineExceeded)
			defer cancel()
		}
		_, piece, err := do(ctx, "body", map[string]any{})
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return piece, err
	}}
}

// reply is the answer in the host's form.
func (w *responseWriter) reply(method string) map[string]any {
	w.WriteHeader(http.StatusOK)
	if method == http.MethodHead {
		w.body.Reset()
	}
	return map[string]any{
		"kind": "reply", "status": w.status, "headers": joinHeader(w.sent), "body": toJS(w.body.Bytes()),
	}
}
