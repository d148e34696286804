// Package lambdahttp serves an [http.Handler] on AWS Lambda: behind API Gateway REST and HTTP APIs, Function
// URLs and Application Load Balancers, and on Netlify Functions.
//
// The handler gets the request that net/http's server would create, with these differences:
//
//   - RemoteAddr is the client's address, from a source that the client cannot write, with port 0. It is empty if the
//     platform reports no address.
//   - RequestURI is the path and query as sent; in URL, the stage of an API (or Netlify's own prefix) is removed.
//   - The context ends with the invocation, and has a [platform.Info].
//   - The answer is sent in one piece when the handler returns, without streaming or Content-Length.
//
// An event that is not an HTTP request (a queue's, an authorizer's, null), or that has two spellings of a header with
// different values, is answered 400, and a panic 500, with an error body and the headers of every answer. They are not
// invocation errors, which a gateway would turn into a bare 502. Both are logged to the logger that was [slog.Default]
// when AWS or Netlify was called.
//
// # Identity
//
// The Identity in [platform.Info] comes from the envelope that the platform writes:
//
//   - HTTP API: requestContext.authorizer.jwt (its claims), .lambda (an authorizer's context), .iam
//   - Function URL: requestContext.authorizer.iam
//   - REST API: requestContext.authorizer with claims or a principalId
//   - Netlify: the user in the invocation's client context
//   - ALB: never; its x-amzn-oidc-* headers can be forged by a client that bypasses it
//
// An object that is empty or holds only null is not an identity. All sessions of an IAM role are one caller: the subject
// is the role, without its session name. The users of a Cognito identity pool share a role and are distinguished by their
// identityId; guests of the pool have no identity.
//
// Netlify Identity passes a Go function {"identity":…,"user":…}, as base64 JSON under "netlify" in the custom part of the
// Lambda client context. The user is present only if Netlify has verified the request's bearer token against the site's
// own Identity instance. No header reaches the client context, so it is trustworthy. Anybody can register with Identity
// unless the site's owner closes registration. Netlify's local server does not verify tokens, and puts the user into the
// event instead, which is ignored: locally, there is no identity.
package lambdahttp

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/request"
)

// AWS returns a handler for the events of API Gateway REST APIs, HTTP APIs (either payload format), Function URLs and ALB
// target groups, which it recognizes by the event. Behind an ALB, the owner's own proxies have added the trustedHops
// right-most X-Forwarded-For entries. Invoke's error is always nil.
func AWS(h http.Handler, trustedHops int) lambda.Handler {
	return newAdapter(h, func(ctx context.Context, e *event) (*http.Request, encoder, error) {
		return readAWS(ctx, e, trustedHops)
	})
}

// Netlify returns a handler for the events of Netlify Functions. A direct call of the function, at
// /.netlify/functions/NAME/REST, is served as /api/REST, or as /healthz and /readyz for these two. Invoke's error is always
// nil.
func Netlify(h http.Handler) lambda.Handler { return newAdapter(h, readNetlify) }

// reader converts an event to a request, and returns the encoder for its answer. Its error is a fault of the event; the
// request is nil if the event is not an HTTP request.
type reader func(context.Context, *event) (*http.Request, encoder, error)

// encoder encodes an answer for the trigger.
type encoder func(*recorder) response

// adapter is a lambda.Handler. It is safe for concurrent use.
type adapter struct {
	read    reader
	serve   http.Handler
	instead http.Handler // calls the http.HandlerFunc in the request's context, in place of serve
}

// insteadKey is the context key of the http.HandlerFunc.
type insteadKey struct{}

func newAdapter(h http.Handler, read reader) *adapter {
	return &adapter{read: read, serve: h, instead: request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(insteadKey{}).(http.HandlerFunc)(w, r)
	}), slog.Default())}
}

// Invoke answers one event.
func (a *adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return json.Marshal(a.answer(ctx, payload))
}

// answer converts an event and records the answer. It drops what a handler wrote before it panicked.
func (a *adapter) answer(ctx context.Context, payload []byte) (answer response) {
	var r *http.Request // nil until the event is read
	encode := encodeUnknown
	instead := func(h http.HandlerFunc) response {
		if r == nil {
			r = noRequest(ctx)
		}
		return encode(record(a.instead, r.WithContext(context.WithValue(r.Context(), insteadKey{}, h))))
	}
	refuse := func(fault error) response {
		return instead(func(w http.ResponseWriter, r *http.Request) {
			request.Fail(w, r, problem.New(problem.BadRequest, fault))
		})
	}
	defer func() {
		if v := recover(); v != nil {
			// Panics again, for request.Handler to log and answer, while the stack of the panic is still available.
			answer = instead(func(http.ResponseWriter, *http.Request) { panic(v) })
		}
	}()
	var e event
	if json.Unmarshal(payload, &e) != nil {
		return refuse(errNoHTTP)
	}
	read, encodeRead, fault := a.read(ctx, &e)
	if read != nil {
		r, encode = read, encodeRead
	}
	if fault != nil {
		return refuse(fault)
	}
	return encode(record(a.serve, r))
}
