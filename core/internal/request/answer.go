package request

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"github.com/orga-session/orga-session/core/internal/problem"
)

// Fail answers r with the [problem.Problem] in err, or Internal if err has none, and records it. If the client has
// disconnected, a failure that may pass is recorded as ClientGone: it says nothing about the endpoint. Nothing may have
// been written before.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		p = problem.New(problem.Internal, err)
	}
	if errors.Is(r.Context().Err(), context.Canceled) && p.Retryable() && p.Status() >= http.StatusInternalServerError {
		p = problem.New(problem.ClientGone, p.Cause)
	}
	x := From(r.Context())
	x.Refuse(p)

	h := w.Header()
	maps.Copy(h, p.Header)
	if seconds := p.RetrySeconds(); seconds > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	status, detail := p.Status(), p.Detail()
	WriteJSON(w, status, "application/problem+json", struct {
		Type      string       `json:"type"`
		Title     string       `json:"title"`
		Status    int          `json:"status"`
		Detail    string       `json:"detail"`
		Error     string       `json:"error"` // read by Orga's own examples
		Code      problem.Code `json:"code"`
		Retryable bool         `json:"retryable"`
		RequestID string       `json:"requestId"`
	}{"about:blank#" + string(p.Code), http.StatusText(status), status, detail, detail, p.Code, p.Retryable(), x.RequestID})
}

// WriteJSON writes v as the complete answer in one piece, so that an answer is never partial. It does not escape HTML
// characters, so that credentials stay unchanged.
func WriteJSON(w http.ResponseWriter, status int, contentType string, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // a bug; Handler answers it
	}
	Write(w, status, contentType, body.Bytes())
}

// Write writes the complete answer.
func Write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h, values := w.Header(), []string{contentType, strconv.Itoa(len(body))}
	h["Content-Type"], h["Content-Length"] = values[:1:1], values[1:]
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails if the client has disconnected
}
