// Package lambdahttp serves an [http.Handler] on AWS Lambda: behind API Gateway REST and HTTP APIs, Function
// URLs and Application Load Balancers, and on Netlify Functions.
//
// The handler gets the request that net/http's server would have made, with these differences:
//
//   - RemoteAddr is the client's address, from a source that the client cannot write, with port 0. It is
//     empty if the platform gives no address.
//   - RequestURI is the path as the client sent it and the query; in URL, the stage of an API (or Netlify's
//     own prefix) is cut off.
//   - The context ends with the invocation, and carries a [platform.Info].
//   - The answer is sent in one piece when the handler returns, without streaming or Content-Length.
//
// An event that is not an HTTP request (a queue's, an authorizer's, null), or that has one header in two
// spellings with different values, is answered 400, and a panic 500, with the problem body and the headers of
// every answer. Neither is an invocation error, which a gateway would turn into a bare 502. Both are logged to
// the [slog.Default] at the time that AWS or Netlify is called.
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
// An object that is empty or holds only null is no identity. All sessions of an IAM role are one caller: the
// subject is the role, without its session name. The users of a Cognito identity pool share a role and are
// distinguished by their identityId; guests of the pool have no identity.
//
// Netlify Identity passes a Go function {"identity":…,"user":…}, as base64 JSON under "netlify" in the
// custom part of the Lambda client context. The user is there only if Netlify has verified the
// request's bearer token against the site's own Identity instance. No header reaches the client context, so it
// can be trusted. Anybody can register with Identity unless the site's owner closes registration. Netlify's
// command line does not verify tokens and puts the user into the event instead, which is ignored: locally,
// there is no identity.
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

// AWS serves the events of an API Gateway REST API, an HTTP API (either payload format), a Function
// URL and an ALB target group, and recognizes each by its event. Behind an ALB, trustedHops of the right-most
// X-Forwarded-For entries are the owner's own proxies. The error of Invoke is always nil.
func AWS(h http.Handler, trustedHops int) lambda.Handler {
	return newAdapter(h, func(ctx context.Context, e *event) (*http.Request, encoder, error) {
		return readAWS(ctx, e, trustedHops)
	})
}

// Netlify serves the events of Netlify Functions. A direct call of the function, at
// /.netlify/functions/NAME/REST, is served as /api/REST, and as /healthz and /readyz for those two. The
// error of Invoke is always nil.
func Netlify(h http.Handler) lambda.Handler { return newAdapter(h, readNetlify) }

// reader makes the request of an event, and says how to encode its answer. Its error is a fault of the
// event, and the request is nil when the event is no HTTP request.
type reader func(context.Context, *event) (*http.Request, encoder, error)

// encoder turns an answer into what the trigger reads.
type encoder func(*recorder) response

// adapter is a lambda.Handler. It is safe for concurrent use.
type adapter struct {
	read   reader
	serve  http.Handler
	refuse http.Handler // answers for an event with a fault, which is in the request's context
	report http.Handler // answers for a handler that panicked, with the value in the request's context
}

// outcomeKey is the context key of a fault or a panic's value.
type outcomeKey struct{}

func withOutcome(r *http.Request, v any) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), outcomeKey{}, v))
}

func newAdapter(h http.Handler, read reader) *adapter {
	log := slog.Default()
	return &adapter{
		read:  read,
		serve: h,
		refuse: request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fault, _ := r.Context().Value(outcomeKey{}).(error)
			request.Fail(w, r, problem.New(problem.BadRequest, fault))
		}), log),
		report: request.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			panic(r.Context().Value(outcomeKey{})) // request.Handler knows what may be said of it
		}), log),
	}
}

// Invoke answers one event.
func (a *adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return json.Marshal(a.answer(ctx, payload))
}

// answer reads an event and collects what is answered. What a handler wrote before it panicked is dropped.
func (a *adapter) answer(ctx context.Context, payload []byte) (answer response) {
	// What answers until the event has been read, and if it cannot be.
	r, encode := noRequest(ctx), encodeUnknown
	defer func() {
		if v := recover(); v != nil {
			// Called from here, while the frames that panicked are still on the stack for the log.
			answer = encode(record(a.report, withOutcome(r, v)))
		}
	}()
	var e event
	if json.Unmarshal(payload, &e) != nil {
		return encode(record(a.refuse, withOutcome(r, errNoHTTP)))
	}
	read, encodeRead, fault := a.read(ctx, &e)
	if read != nil {
		r, encode = read, encodeRead
	}
	if fault != nil {
		return encode(record(a.refuse, withOutcome(r, fault)))
	}
	return encode(record(a.serve, r))
}
