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

// responseWriter is an http.ResponseWriter that keeps the answer, by the rules of net/http's own: the first WriteHeader
// counts and fixes the headers, and a handler that writes nothing has answered 200.
type responseWriter struct {
	header   http.Header // the handler's to change
	sent     http.Header // nil until WriteHeader
	status   int
	body     bytes.Buffer
	deadline time.Time // of reading the request's body
}

func newResponseWriter() *responseWriter { return &responseWriter{header: make(http.Header)} }

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if w.sent != nil || status < 200 { // a provisional answer has nowhere to go
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

// SetReadDeadline implements http.ResponseController's method of that name.
func (w *responseWriter) SetReadDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

// requestBody is the body of the request, read when it is wanted: one that never ends must not delay a refusal.
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

// reply is the answer as the host takes it.
func (w *responseWriter) reply(method string) map[string]any {
	w.WriteHeader(http.StatusOK)
	if method == http.MethodHead {
		w.body.Reset()
	}
	return map[string]any{
		"kind": "reply", "status": w.status, "headers": joinHeader(w.sent), "body": toJS(w.body.Bytes()),
	}
}
