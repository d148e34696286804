package lambdahttp

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

// body returns an event's body and its length in bytes. Base64 is decoded while reading, so that refusing a body for its
// length costs nothing; Read reports invalid base64.
func body(e *event) (io.ReadCloser, int64) {
	if e.Body == "" { // Netlify marks even a missing body as base64
		return http.NoBody, 0
	}
	if !e.IsBase64Encoded {
		return io.NopCloser(strings.NewReader(e.Body)), int64(len(e.Body))
	}
	padding := len(e.Body) - len(strings.TrimRight(e.Body, "="))
	length := base64.StdEncoding.DecodedLen(len(e.Body)) - min(padding, 2)
	return io.NopCloser(base64.NewDecoder(base64.StdEncoding, strings.NewReader(e.Body))), int64(max(length, 1))
}
