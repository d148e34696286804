// Package lambdahttp lets an http.Handler answer what runs on AWS Lambda: API Gateway REST and HTTP
// APIs, Function URLs, Application Load Balancers, and Netlify Functions.
//
// The handler sees a request as net/http's own server would have made it, with these differences:
//
//   - RemoteAddr is the client's address from a source that the client cannot write, with port 0, as
//     no platform tells the port. It is empty when the platform tells no address.
//   - RequestURI is the path as the client sent it and the query; in URL the stage of an API (or
//     Netlify's own prefix) is gone.
//   - The context ends with the invocation, and carries an platform.Info.
//   - The answer leaves in one piece when the handler returns. There is no streaming, and no
//     Content-Length: whoever sends the body on counts it.
//
// An event that is no HTTP request (a queue's, an authorizer's, null) is answered 400, and a panic 500,
// both with the problem body and the headers that exchange gives every answer; neither becomes an
// invocation error, which a client would see as a gateway's bare 502. Both are logged to what
// slog.Default() is when AWS or Netlify is called.
//
// # Who the platform says is calling
//
// Platform.Identity comes from the envelope that the platform itself writes:
//
//   - HTTP API: requestContext.authorizer.jwt (its claims), .lambda (an authorizer's context), .iam
//   - Function URL: requestContext.authorizer.iam
//   - REST API: requestContext.authorizer with claims or a principalId
//   - Netlify: the user in the invocation's client context
//   - ALB: never; its x-amzn-oidc-* headers can be forged by whoever reaches the function past it
//
// An empty object is no identity, nor is one with nothing but null in it, or an iam that names nobody. The
// users of a Cognito identity pool, who all have one role, are told apart by their identityId.
//
// Netlify Identity hands a Go function {"identity":…,"user":…}, as base64 JSON under "netlify" in the
// custom part of the Lambda client context. The user is there only when Netlify has verified the
// request's bearer token against the site's own Identity instance; with no token, or a bad one, the
// rest of the client context arrives without it. No header reaches the client context, so it can be
// trusted as it is. Registration with Identity is open to everybody unless the site's owner closes it:
// then a verified user is whoever gave an email address. Netlify's command line decodes the token
// without verifying it, but puts the result into the event, where it is not looked for: there is no
// identity locally.
package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/problem"
)

// AWS serves the events of an API Gateway REST API, an HTTP API (either payload format), a Function
// URL and an ALB target group, told apart by the event. Behind an ALB, trustedHops of the right-most
// X-Forwarded-For entries are the owner's own proxies. The error of Invoke is always nil.
func AWS(h http.Handler, trustedHops int) lambda.Handler {
	return newAdapter(h, func(ctx context.Context, e *event) (*http.Request, encoder) {
		return readAWS(ctx, e, trustedHops)
	})
}

// Netlify serves the events of Netlify Functions. A direct call of the function, at
// /.netlify/functions/NAME/REST, is served as /api/REST, and as /healthz and /readyz for those two. The
// error of Invoke is always nil.
func Netlify(h http.Handler) lambda.Handler { return newAdapter(h, readNetlify) }

// reader makes the request of an event, and says how to encode its answer. Both are nil for an event
// that is no HTTP request.
type reader func(context.Context, *event) (*http.Request, encoder)

// encoder turns an answer into what the trigger reads.
type encoder func(*recorder) response

// adapter is a lambda.Handler. It is safe for concurrent use.
type adapter struct {
	read   reader
	serve  http.Handler
	refuse http.Handler // answers for an event that is no HTTP request
	report http.Handler // answers for a handler that panicked
}

var errNoHTTP = errors.New("the event is no HTTP request: no trigger that this function serves sends it")

type panicKey struct{}

func newAdapter(h http.Handler, read reader) *adapter {
	log := slog.Default()
	return &adapter{
		read:  read,
		serve: h,
		refuse: request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			request.Fail(w, r, problem.New(problem.BadRequest, errNoHTTP))
		}), log),
		report: request.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			panic(r.Context().Value(panicKey{})) // request.Handler knows what may be said of it
		}), log),
	}
}

// Invoke answers one event.
func (a *adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err == nil {
		if r, encode := a.read(ctx, &e); r != nil {
			return json.Marshal(encode(a.answer(a.serve, r)))
		}
	}
	return json.Marshal(encodeUnknown(a.answer(a.refuse, noRequest(ctx))))
}

// answer collects what h answers. What a handler wrote before it panicked is dropped.
func (a *adapter) answer(h http.Handler, r *http.Request) (out *recorder) {
	defer func() {
		if v := recover(); v != nil {
			out = newRecorder(r.Method)
			// Called from here, while the frames that panicked are still on the stack for the log.
			a.report.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), panicKey{}, v)))
			out.finish()
		}
	}()
	out = newRecorder(r.Method)
	h.ServeHTTP(out, r)
	out.finish()
	return out
}
