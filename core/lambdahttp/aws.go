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
		if e.MultiValueHeaders.value == nil { // a setting of the target group, both ways
			encode = encodeALB
		}
	default:
		read, encode = readV1, encodeV1
	}
	r, err := newRequest(ctx, e, read(e))
	return r, encode, err
}

// readV2 reads payload format 2.0: HTTP APIs and Function URLs. Repeated headers come joined by
// commas, and stay so: a comma may as well be part of a value. Cookies come apart.
func readV2(e *event) envelope {
	c := take(e, e.RequestContext)
	h := e.header(nil)
	if cookies := take(e, e.Cookies); len(cookies) > 0 {
		h["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	sent, stage, http := take(e, e.RawPath), take(e, c.Stage), take(e, c.HTTP)
	path := sent
	if stage != "$default" { // the one stage that is no part of the path
		path = cutStage(path, stage)
	}
	return envelope{
		method: http.Method, sent: sent, path: path, query: take(e, e.RawQueryString),
		header: h, addr: platform.ParseAddr(http.SourceIP),
		platform: platform.Info{RequestID: take(e, c.RequestID), HTTPS: true, Identity: identityV2(c.Authorizer)},
	}
}

// readV1 reads payload format 1.0: REST APIs, and HTTP APIs that are set to it. A REST API has cut the
// stage off path already, but for a custom domain; requestContext.path is as the client sent it.
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

// readALB reads a load balancer's event, whose query is still escaped as the client sent it.
func readALB(e *event, trustedHops int) envelope {
	h, path := e.header(take(e, e.MultiValueHeaders)), take(e, e.Path)
	return envelope{
		method: take(e, e.HTTPMethod), sent: path, path: path,
		query:  encodeQuery(e, func(s string) string { return s }),
		header: h, addr: platform.ForwardedAddr(h, trustedHops),
		platform: platform.Info{HTTPS: platform.ForwardedHTTPS(h)},
	}
}

// cutStage takes the stage off a path, where it is all of the first segment.
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

// encodeQuery puts a query together again, in an order of its own: events have it as a map.
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

// header joins the two forms that headers come in. A value that is null is no value. A header that an event
// has under two spellings, with different values, is a fault of the event: which of them came first is not
// in it.
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
			continue // of a header that came several times, this form has the last value
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

// envelope is what differs from one trigger to the next.
type envelope struct {
	method   string
	sent     string // the path as the client sent it
	path     string // the path to serve, escaped as sent
	query    string
	header   http.Header
	addr     netip.Addr // the zero Addr when unknown
	platform platform.Info
}

// newRequest makes the request of an event. Its error is the fault of the event; the request is nil when
// the event is none of a trigger that is served.
func newRequest(ctx context.Context, e *event, q envelope) (*http.Request, error) {
	if errors.Is(e.fault, errNoHTTP) {
		return nil, e.fault
	}
	if q.platform.RequestID == "" {
		if lc, ok := lambdacontext.FromContext(ctx); ok {
			q.platform.RequestID = lc.AwsRequestID
		}
	}
	// The runtime keeps the trace under this key, a string; API Gateway and ALB put it in a header too.
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
	// What is not valid escaping (a bare %) has been unescaped by the platform, and is the path itself.
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

// noRequest stands in for a request where an event is none.
func noRequest(ctx context.Context) *http.Request {
	r, _ := newRequest(ctx, new(event), envelope{method: http.MethodGet, sent: "/", path: "/", header: http.Header{}})
	return r
}
