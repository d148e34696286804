package lambdahttp

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/platform"
)

func readAWS(ctx context.Context, e *event, trustedHops int) (*http.Request, encoder, error) {
	c := &e.RequestContext.value
	var read func(*event) envelope
	var encode encoder
	switch {
	case e.Type.value == "" && c.HTTP.value.Method != "":
		read, encode = readV2, encodeV2
	case !e.isRequest():
		return nil, nil, errNoHTTP
	case c.ELB != nil:
		read, encode = func(e *event) envelope { return readALB(e, trustedHops) }, encodeALBMulti
		if e.MultiValueHeaders.value == nil { // depends on a setting of the target group, for requests and responses
			encode = encodeALB
		}
	default:
		read, encode = readV1, encodeV1
	}
	r, err := newRequest(ctx, e, read(e))
	return r, encode, err
}

// readV2 reads payload format 2.0: HTTP APIs and Function URLs. Repeated headers are joined by commas and stay joined,
// because a value may contain commas. Cookies are separate.
func readV2(e *event) envelope {
	c := take(e, e.RequestContext)
	h := e.header(nil)
	if cookies := take(e, e.Cookies); len(cookies) > 0 {
		h["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	sent, stage, http := take(e, e.RawPath), take(e, c.Stage), take(e, c.HTTP)
	path := sent
	if stage != "$default" { // $default is not part of the path
		path = cutStage(path, stage)
	}
	return envelope{
		method: http.Method, sent: sent, path: path, query: take(e, e.RawQueryString),
		header: h, addr: platform.ParseAddr(http.SourceIP),
		platform: platform.Info{RequestID: take(e, c.RequestID), HTTPS: true, Identity: identityV2(c.Authorizer)},
	}
}

// readV1 reads payload format 1.0: REST APIs, and HTTP APIs configured for it. For a REST API, path has no stage, except
// with a custom domain; requestContext.path is the path as sent.
func readV1(e *event) envelope {
	c := take(e, e.RequestContext)
	stage, path := take(e, c.Stage), take(e, e.Path)
	sent := path
	if whole := take(e, c.Path); whole == "/"+stage+path {
		sent = whole
	} else {
		path = cutStage(path, stage)
	}
	return envelope{
		method: take(e, e.HTTPMethod), sent: sent, path: path, query: encodeQuery(e, url.QueryEscape),
		header: e.header(take(e, e.MultiValueHeaders)), addr: platform.ParseAddr(take(e, c.Identity).SourceIP),
		platform: platform.Info{RequestID: take(e, c.RequestID), HTTPS: true, Identity: identityV1(c.Authorizer)},
	}
}

// readALB reads a load balancer's event, whose query is escaped as sent.
func readALB(e *event, trustedHops int) envelope {
	h, path := e.header(take(e, e.MultiValueHeaders)), take(e, e.Path)
	return envelope{
		method: take(e, e.HTTPMethod), sent: path, path: path,
		query:  encodeQuery(e, func(s string) string { return s }),
		header: h, addr: platform.ForwardedAddr(h, trustedHops),
		platform: platform.Info{HTTPS: platform.ForwardedHTTPS(h)},
	}
}

// cutStage removes the stage from a path, if it is the whole first segment.
func cutStage(path, stage string) string {
	rest, ok := strings.CutPrefix(path, "/"+stage)
	switch {
	case stage == "" || !ok:
		return path
	case rest == "":
		return "/"
	case rest[0] == '/':
		return rest
	}
	return path
}

// encodeQuery encodes a query from an event's map, in sorted order.
func encodeQuery(e *event, escape func(string) string) string {
	single := take(e, e.Query)
	query := make(map[string][]*string, len(single))
	for name, value := range single {
		query[name] = []*string{value}
	}
	maps.Copy(query, take(e, e.MultiValueQuery))
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] {
			if value == nil {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(escape(name) + "=" + escape(*value))
		}
	}
	return b.String()
}

// header merges the two forms of an event's headers. null counts as no value. Two spellings of a header with different
// values are a fault of the event, because their order is unknown.
func (e *event) header(multi map[string][]*string) http.Header {
	h := make(http.Header, max(len(e.Headers), len(multi)))
	for spelling, values := range multi {
		var list []string
		for _, value := range values {
			if value != nil {
				list = append(list, *value)
			}
		}
		name := http.CanonicalHeaderKey(spelling)
		if other, ok := h[name]; ok && list != nil && !slices.Equal(other, list) {
			e.refuse(errTwoSpellings)
		}
		if list != nil {
			h[name] = list
		}
	}
	for spelling, value := range e.Headers {
		if _, ok := multi[spelling]; ok || value == nil {
			continue // of a repeated header, this form has only the last value
		}
		name := http.CanonicalHeaderKey(spelling)
		if other, ok := h[name]; ok && !slices.Contains(other, *value) {
			e.refuse(errTwoSpellings)
		} else if !ok {
			h[name] = []string{*value}
		}
	}
	return h
}

// envelope has the parts that differ between triggers.
type envelope struct {
	method   string
	sent     string // the path as sent
	path     string // the path to serve, escaped as sent
	query    string
	header   http.Header
	addr     netip.Addr // the zero Addr if unknown
	platform platform.Info
}

// newRequest converts an event to a request. Its error is a fault of the event; the request is nil if the event is not
// one of a supported trigger.
func newRequest(ctx context.Context, e *event, q envelope) (*http.Request, error) {
	if errors.Is(e.fault, errNoHTTP) {
		return nil, e.fault
	}
	if q.platform.RequestID == "" {
		if lc, ok := lambdacontext.FromContext(ctx); ok {
			q.platform.RequestID = lc.AwsRequestID
		}
	}
	// The runtime passes the trace under this string key; API Gateway and ALB also send it in a header.
	if trace, _ := ctx.Value("x-amzn-trace-id").(string); trace != "" && q.header["X-Amzn-Trace-Id"] == nil {
		q.header["X-Amzn-Trace-Id"] = []string{trace}
	}
	r := &http.Request{
		Method: q.method,
		URL:    &url.URL{Path: cmp.Or(q.path, "/"), RawQuery: q.query},
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:     q.header,
		Host:       q.header.Get("Host"),
		RequestURI: q.sent,
	}
	// Invalid escaping (a bare %) means that the platform has unescaped the path.
	if path, err := url.PathUnescape(q.path); err == nil && path != q.path {
		r.URL.Path, r.URL.RawPath = path, q.path
	}
	if q.query != "" {
		r.RequestURI += "?" + q.query
	}
	delete(q.header, "Host") // as net/http's server does
	if q.addr.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(q.addr, 0).String()
	}
	r.Body, r.ContentLength = body(e)
	return r.WithContext(platform.With(ctx, q.platform)), e.fault
}

// noRequest is the request for events that are not HTTP requests.
func noRequest(ctx context.Context) *http.Request {
	r, _ := newRequest(ctx, new(event), envelope{method: http.MethodGet, sent: "/", path: "/", header: http.Header{}})
	return r
}
