// Package problem describes a refusal as data: a code with its status and public detail, and a private cause for the
// log. The endpoint turns it into a response (RFC 9457).
package problem

import (
	"fmt"
	"net/http"
	"time"
)

// Code identifies an error for clients and in the log. Codes and their statuses are part of the endpoint's contract.
type Code string

// The codes of the contract (docs/contract.md, section 3).
const (
	Unauthenticated      Code = "unauthenticated"
	Forbidden            Code = "forbidden"
	NotFound             Code = "not_found"
	MethodNotAllowed     Code = "method_not_allowed"
	BadRequest           Code = "bad_request"
	TooLarge             Code = "too_large"
	HeadersTooLarge      Code = "headers_too_large"
	UnsupportedMediaType Code = "unsupported_media_type"
	RateLimited          Code = "rate_limited"
	Misconfigured        Code = "misconfigured"
	Internal             Code = "internal"
	UpstreamAuthFailed   Code = "upstream_auth_failed"
	UpstreamError        Code = "upstream_error"
	UpstreamRateLimited  Code = "upstream_rate_limited"
	SecretUnavailable    Code = "secret_unavailable"
	LimiterUnavailable   Code = "limiter_unavailable"
	AuthUnavailable      Code = "auth_unavailable"
	Timeout              Code = "timeout"
	ClientGone           Code = "client_gone" // log only: the client has disconnected
)

// codes maps each code to its status, whether the same request may succeed later, and the detail for clients: a constant,
// so that it cannot leak anything private.
var codes = map[Code]struct {
	status    int
	retryable bool
	detail    string
}{
	Unauthenticated:      {http.StatusUnauthorized, false, "A valid credential is required."},
	Forbidden:            {http.StatusForbidden, false, "This request is not allowed."},
	NotFound:             {http.StatusNotFound, false, "There is nothing here."},
	MethodNotAllowed:     {http.StatusMethodNotAllowed, false, "This method is not allowed here; see Allow."},
	BadRequest:           {http.StatusBadRequest, false, "The request is malformed."},
	TooLarge:             {http.StatusRequestEntityTooLarge, false, "The request body is larger than 16 KiB."},
	HeadersTooLarge:      {http.StatusRequestHeaderFieldsTooLarge, false, "The request headers are too large."},
	UnsupportedMediaType: {http.StatusUnsupportedMediaType, false, "A request body must be application/json."},
	RateLimited:          {http.StatusTooManyRequests, true, "Too many requests."},
	Misconfigured:        {http.StatusInternalServerError, false, "The endpoint is not set up correctly; its log names the settings."},
	Internal:             {http.StatusInternalServerError, false, "Something went wrong here."},
	UpstreamAuthFailed:   {http.StatusBadGateway, false, "The Orga API does not accept this endpoint's key."},
	UpstreamError:        {http.StatusBadGateway, true, "The Orga API did not give a usable answer."},
	UpstreamRateLimited:  {http.StatusServiceUnavailable, true, "The Orga API is limiting requests."},
	SecretUnavailable:    {http.StatusServiceUnavailable, true, "The endpoint's key is not available right now."},
	LimiterUnavailable:   {http.StatusServiceUnavailable, true, "Requests cannot be counted right now."},
	AuthUnavailable:      {http.StatusServiceUnavailable, true, "Credentials cannot be verified right now."},
	Timeout:              {http.StatusGatewayTimeout, true, "The request ran out of time."},
	ClientGone:           {499, true, "The client went away."}, // nginx's status; HTTP has none
}

// Problem is a refusal: a public half (code, delay) for the response, and a private cause for the log only. It is an
// error; errors.Is and errors.As find the cause.
type Problem struct {
	Code       Code
	HTTPStatus int           // replaces the code's own; 0 keeps it
	Permanent  bool          // the same request will fail again; overrides the code
	RetryAfter time.Duration // sent as Retry-After in whole seconds, rounded up; 0 sends none
	Header     http.Header   // further headers of the answer; may be nil
	Cause      error         // logged, never sent; may be nil
}

// New returns a Problem with a code and its private cause, which may be nil.
func New(code Code, cause error) *Problem { return &Problem{Code: code, Cause: cause} }

func (p *Problem) Error() string {
	if p.Cause == nil {
		return string(p.Code)
	}
	return fmt.Sprintf("%s: %v", p.Code, p.Cause)
}

func (p *Problem) Unwrap() error { return p.Cause }

// Status returns the HTTP status of the answer.
func (p *Problem) Status() int {
	if p.HTTPStatus != 0 {
		return p.HTTPStatus
	}
	return codes[p.Code].status
}

// Retryable reports whether the same request may succeed later.
func (p *Problem) Retryable() bool { return codes[p.Code].retryable && !p.Permanent }

// Detail returns the sentence for clients: the delay if there is one, else the code's text.
func (p *Problem) Detail() string {
	switch seconds := p.RetrySeconds(); seconds {
	case 0:
		return codes[p.Code].detail
	case 1:
		return "Retry in 1 second."
	default:
		return fmt.Sprintf("Retry in %d seconds.", seconds)
	}
}

// RetrySeconds returns RetryAfter in whole seconds, rounded up; 0 if there is none.
func (p *Problem) RetrySeconds() int64 {
	return int64((max(0, p.RetryAfter) + time.Second - 1) / time.Second)
}
