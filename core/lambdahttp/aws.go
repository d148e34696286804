package lambdahttp

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/platform"
)

func readAWS(ctx context.Context, e *event, trustedHops int) (*http.Request, encoder) {
	switch {
	case e.Type != "":
		return nil, nil
	case e.RequestContext.HTTP.Method != "":
		return readV2(ctx, e), encodeV2
	case !e.isRequest():
		return nil, nil
	case e.RequestContext.ELB != nil:
		r := readALB(ctx, e, trustedHops)
		if e.MultiValueHeaders == nil { // a setting of the target group, both ways
			return r, encodeALB
		}
		return r, encodeALBMulti
	default:
		return readV1(ctx, e), encodeV1
	}
}

// readV2 reads payload format 2.0: HTTP APIs and Function URLs. Repeated headers come joined by
// commas, and stay so: a comma may as well be part of a value. Cookies come apart.
func readV2(ctx context.Context, e *event) *http.Request {
	c := &e.RequestContext
	h := header(e.Headers, nil)
	if len(e.Cookies) > 0 {
		h["Cookie"] = []string{strings.Join(e.Cookies, "; ")}
	}
	path := e.RawPath
	if c.Stage != "$default" { // the one stage that is no part of the path
		path = cutStage(path, c.Stage)
	}
	return newRequest(ctx, e, envelope{
		method: c.HTTP.Method, sent: e.RawPath, path: path, query: e.RawQueryString,
		header: h, addr: platform.ParseAddr(c.HTTP.SourceIP),
		platform: platform.Info{RequestID: c.RequestID, Identity: identityV2(c.Authorizer)},
	})
}

// readV1 reads payload format 1.0: REST APIs, and HTTP APIs that are set to it. A REST API has cut the
// stage off path already, but for a custom domain; requestContext.path is as the client sent it.
func readV1(ctx context.Context, e *event) *http.Request {
	c := &e.RequestContext
	sent, path := e.Path, cutStage(e.Path, c.Stage)
	if c.Path == "/"+c.Stage+e.Path {
		sent, path = c.Path, e.Path
	}
	return newRequest(ctx, e, envelope{
		method: e.HTTPMethod, sent: sent, path: path, query: encodeQuery(e, url.QueryEscape),
		header: header(e.Headers, e.MultiValueHeaders), addr: platform.ParseAddr(c.Identity.SourceIP),
		platform: platform.Info{RequestID: c.RequestID, Identity: identityV1(c.Authorizer)},
	})
}

// readALB reads a load balancer's event, whose query is still escaped as the client sent it.
func readALB(ctx context.Context, e *event, trustedHops int) *http.Request {
	h := header(e.Headers, e.MultiValueHeaders)
	return newRequest(ctx, e, envelope{
		method: e.HTTPMethod, sent: e.Path, path: e.Path,
		query:  encodeQuery(e, func(s string) string { return s }),
		header: h, addr: platform.ForwardedAddr(h, trustedHops),
	})
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
	query := make(map[string][]*string, len(e.Query))
	for name, value := range e.Query {
		query[name] = []*string{value}
	}
	maps.Copy(query, e.MultiValueQuery)
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

// header joins the two forms that headers come in. A value that is null is no value.
func header(single map[string]*string, multi map[string][]*string) http.Header {
	h := make(http.Header, max(len(single), len(multi)))
	for name, values := range multi {
		name = http.CanonicalHeaderKey(name)
		for _, value := range values {
			if value != nil {
				h[name] = append(h[name], *value)
			}
		}
	}
	for name, value := range single {
		name = http.CanonicalHeaderKey(name)
		if _, ok := h[name]; !ok && value != nil {
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

func newRequest(ctx context.Context, e *event, q envelope) *http.Request {
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
	return r.WithContext(platform.With(ctx, q.platform))
}

// noRequest stands in for a request where an event is none.
func noRequest(ctx context.Context) *http.Request {
	return newRequest(ctx, &event{}, envelope{method: http.MethodGet, sent: "/", path: "/", header: http.Header{}})
}
