package orga

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxBody bounds how much of an answer is read, in bytes, before and after decompression. Real answers have a few
// hundred.
const maxBody = 64 << 10

var (
	errTooLarge = errors.New("it is larger than 64 KiB")
	errNotGzip  = errors.New("it is not the gzip that its header announces")
)

// readBody reads an answer to its end, so that its connection can be reused, or until it exceeds maxBody. With an error,
// it also returns what it has read.
func readBody(resp *http.Response) ([]byte, error) {
	body, err := readAll(resp.Body, resp.ContentLength)
	if err != nil || len(body) == 0 || !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		return body, err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, errNotGzip
	}
	if body, err = readAll(unzipped, -1); err != nil && !errors.Is(err, errTooLarge) {
		err = errNotGzip
	}
	return body, err
}

// readAll reads r to its end, or until errTooLarge. size is the expected size in bytes; -1 if unknown.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		size = 1 << 10
	}
	body := make([]byte, 0, min(size, maxBody)+1)
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > maxBody:
			return body, errTooLarge
		case err == io.EOF: // a Reader returns it unwrapped
			return body, nil
		case err != nil:
			return body, err
		case len(body) == cap(body):
			body = append(make([]byte, 0, min(2*cap(body), maxBody+1)), body...)
		}
	}
}
