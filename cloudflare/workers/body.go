//go:build js && wasm

package workers

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall/js"
)

// body is a body that the host passes on in pieces, on demand.
type body struct {
	next  func() (js.Value, error)
	stop  func() // ends it early; may be nil
	piece []byte // the rest of the last piece
	err   error  // returned after the last piece
}

func (b *body) take(piece js.Value) {
	data := piece.Get("data")
	b.piece = make([]byte, data.Length())
	js.CopyBytesToGo(b.piece, data)
	if piece.Get("done").Bool() {
		b.err = io.EOF
	}
}

func (b *body) Read(p []byte) (int, error) {
	for len(b.piece) == 0 && b.err == nil {
		if piece, err := b.next(); err != nil {
			b.err = err
		} else {
			b.take(piece)
		}
	}
	if len(b.piece) == 0 {
		return 0, b.err
	}
	n := copy(p, b.piece)
	b.piece = b.piece[n:]
	return n, nil
}

func (b *body) Close() error {
	if !errors.Is(b.err, io.EOF) && b.stop != nil {
		b.stop()
	}
	b.piece, b.err, b.stop = nil, http.ErrBodyReadAfterClose, nil
	return nil
}

func toJS(b []byte) js.Value {
	array := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(array, b)
	return array
}

// Headers cross between Go and JavaScript as one text with a line for each name and each value: a call for each of them
// would cost more than the rest of a request.

func joinHeader(h http.Header) string {
	var b strings.Builder
	for name, values := range h {
		for _, value := range values {
			b.WriteString(name + "\n" + value + "\n")
		}
	}
	return b.String()
}

func splitHeader(text string) http.Header {
	h := make(http.Header)
	for text != "" {
		var name, value string
		name, text, _ = strings.Cut(text, "\n")
		value, text, _ = strings.Cut(text, "\n")
		h.Add(name, value)
	}
	return h
}
