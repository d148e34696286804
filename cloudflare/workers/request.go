//go:build js && wasm

package workers

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall/js"

	"github.com/orga-session/orga-session/core/platform"
)

// A request's header has at most so many bytes and lines, because short lines take 20 times their size, and the requests of an
// isolate share 128 MB.
const (
	maxHeader = 24 << 10
	maxLines  = 128
)

// newRequest creates a request from the host's data: ID, method, address, headers, and whether it has a body. It returns nil if
// the headers are too long or too many.
func newRequest(ctx context.Context, w *responseWriter, args []js.Value) *http.Request {
	method, address, text, hasBody := args[1].String(), args[2].String(), args[3].String(), args[4].Bool()
	if len(text) > maxHeader || strings.Count(text, "\n") > 2*maxLines {
		return nil
	}
	h := splitHeader(text)
	h.Del("Host") // as net/http does
	scheme, rest, _ := strings.Cut(address, "://")
	host, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	// Cloudflare Access sends the caller's token in its own header.
	if token := h.Get("Cf-Access-Jwt-Assertion"); token != "" && h.Get("Authorization") == "" {
		h.Set("Authorization", "Bearer "+token)
	}
	r := &http.Request{
		Method: method, Host: host, RequestURI: target, URL: parseTarget(target), Header: h, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if addr := platform.ParseAddr(h.Get("Cf-Connecting-Ip")); addr.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(addr, 0).String()
	}
	if hasBody {
		r.Body, r.ContentLength = w.requestBody(ctx), -1
		if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
			r.ContentLength = n
		}
	}
	return r.WithContext(platform.With(ctx, platform.Info{RequestID: h.Get("Cf-Ray"), HTTPS: scheme == "https"}))
}

// parseTarget parses a request's target. Invalid encoding, such as /%zz, counts as part of the path.
func parseTarget(target string) *url.URL {
	if u, err := url.ParseRequestURI(target); err == nil {
		return u
	}
	path, query, _ := strings.Cut(target, "?")
	return &url.URL{Path: path, RawQuery: query}
}
