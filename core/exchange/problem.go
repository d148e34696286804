package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Code names what went wrong, for clients and for whoever reads the log. The codes and their statuses
// are part of the endpoint's contract.
type Code string

// The refusals of the endpoint.
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
	ClientGone           Code = "client_gone" // for the log: nobody reads this answer
)

// codes gives each code its status, whether the same request may succeed later, and the sentence
// that a client reads: constant, so that nothing private can slip into it.
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
	LimiterUnavailable:   {http.StatusServiceUnavailable, true, "Requests can not be counted right now."},
	AuthUnavailable:      {http.StatusServiceUnavailable, true, "Credentials can not be verified right now."},
	Timeout:              {http.StatusGatewayTimeout, true, "The request ran out of time."},
	ClientGone:           {499, true, "The client went away."}, // nginx's number; HTTP has none
}

// Problem is a refusal: a public half (code, delay) that becomes an RFC 9457 body, and a private
// cause for the log alone. It is an error; errors.Is and errors.As see the cause.
type Problem struct {
	Code       Code
	HTTPStatus int           // instead of the code's own; 0 is the code's own
	RetryAfter time.Duration // sent as Retry-After in whole seconds, rounded up; 0 sends none
	Header     http.Header   // further headers of the answer; may be nil
	Cause      error         // logged, never sent; may be nil
}

// Refuse makes a Problem of a code and its private cause.
func Refuse(code Code, cause error) *Problem { return &Problem{Code: code, Cause: cause} }

func (p *Problem) Error() string {
	if p.Cause == nil {
		return string(p.Code)
	}
	return fmt.Sprintf("%s: %v", p.Code, p.Cause)
}

func (p *Problem) Unwrap() error { return p.Cause }

// Status is the HTTP status of the answer.
func (p *Problem) Status() int {
	if p.HTTPStatus != 0 {
		return p.HTTPStatus
	}
	return codes[p.Code].status
}

// Fail answers r with the Problem in err, or with Internal when there is none, and notes it in the
// request's record. It must come before anything else is written.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		p = Refuse(Internal, err)
	}
	x := From(r.Context())
	x.Code, x.cause = string(p.Code), p.Cause

	known, status := codes[p.Code], p.Status()
	detail := known.detail
	h := w.Header()
	maps.Copy(h, p.Header)
	if p.RetryAfter > 0 {
		seconds := int64(math.Ceil(p.RetryAfter.Seconds()))
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
		detail = fmt.Sprintf("Retry in %d seconds.", seconds)
		if seconds == 1 {
			detail = "Retry in 1 second."
		}
	}
	WriteJSON(w, status, "application/problem+json", struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		Error     string `json:"error"` // Orga's own examples read this member
		Code      Code   `json:"code"`
		Retryable bool   `json:"retryable"`
		RequestID string `json:"requestId"`
	}{"about:blank#" + string(p.Code), http.StatusText(status), status, detail, detail, p.Code, known.retryable, x.RequestID})
}

// WriteJSON writes v as the whole answer, in one piece, so that an answer is never partial.
// Characters that HTML would escape are left as they are: credentials travel unchanged.
func WriteJSON(w http.ResponseWriter, status int, contentType string, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // caught by Handler: an answer that cannot be encoded is a mistake of ours
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client is gone: nothing is left to do
}
