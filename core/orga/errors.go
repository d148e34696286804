package orga

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/internal/neterror"
)

// Call names a call of the API.
type Call string

// Calls of a [Client].
const (
	CallMint Call = "mint"
	CallICE  Call = "ice"
)

// Kinds of an [Error], for [errors.Is].
var (
	ErrAuthentication = errors.New("credential rejected")           // 401 or 403: the key for a mint, the token for the ICE call
	ErrRateLimited    = errors.New("rate limited")                  // 429
	ErrServer         = errors.New("server error")                  // 5xx
	ErrRequest        = errors.New("request rejected")              // any other status, redirects included
	ErrUserEmail      = fmt.Errorf("%w: unknown email", ErrRequest) // a mint's 404 of type not_found_error: see [WithUserEmail]
	ErrMalformed      = errors.New("unusable answer")               // 2xx, but not the expected JSON
	ErrTimeout        = errors.New("timed out")                     // the context's deadline, the 10 s without one, or the transport's own
	ErrConnection     = errors.New("connection failed")             // refused, reset, closed early, an untrusted certificate
	ErrConfig         = errors.New("client misconfigured")          // nothing was sent: the key, the token or the base URL is unusable
)

// Error is a failed call. Its text is safe to log: it has the call, the status and Orga's own code, but nothing else from
// the answer, and never a key or a token.
type Error struct {
	Call       Call
	Status     int           // of the answer; 0 if there was none
	Kind       error         // one of the kinds above, or [context.Canceled]
	Code       string        // Orga's own error code or type; "" if it gave none that is safe to print
	RetryAfter time.Duration // from the answer's Retry-After, 1 s to 24 h; 0 if there is no usable one
	RequestID  string        // Orga's own ID of the call (X-Request-Id), for its support; "" if it gave none that is safe to print
	detail     string        // in this package's words
	cause      error         // of a failed connection; see neterror.Describe
}

// Retryable reports whether the same call may succeed later: after [ErrRateLimited], [ErrServer],
// [ErrConnection] and [ErrTimeout]. Wait for [Error.RetryAfter] first, if it is set.
func (e *Error) Retryable() bool {
	return slices.Contains([]error{ErrRateLimited, ErrServer, ErrConnection, ErrTimeout}, e.Kind)
}

func (e *Error) Error() string {
	s := fmt.Sprintf("orga %s: %v", e.Call, e.Kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (status %d", e.Status)
		if e.Code != "" {
			s += ", code " + e.Code
		}
		s += ")"
	}
	if e.detail != "" {
		s += ": " + e.detail
	}
	return s
}

// Unwrap returns the kind and, for a failed connection, the network error.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// statusError returns the error of an answer other than 2xx. It drops a code that may contain a secret.
func statusError(call Call, resp *http.Response, body []byte, secrets ...*apiKey) *Error {
	code, kind := errorCode(body, secrets)
	e := &Error{
		Call: call, Status: resp.StatusCode, Kind: ErrRequest, Code: code,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		e.Kind, e.detail = ErrAuthentication, "the API key"
		if call == CallICE {
			e.detail = "the new token, not the API key"
		}
	case s == http.StatusTooManyRequests:
		e.Kind = ErrRateLimited
	case s >= 500:
		e.Kind = ErrServer
	case s >= 300 && s < 400:
		e.detail = "redirects are not followed"
	case s == http.StatusNotFound && call == CallMint && kind == "not_found_error":
		e.Kind, e.detail = ErrUserEmail, "the UserEmail must be the email of the account that owns the key"
	}
	return e
}

// errorCode returns Orga's code, or else its type, from an error body: {"error":{"code","type"}}. Other forms have none.
// kind is the type.
func errorCode(body []byte, secrets []*apiKey) (code, kind string) {
	answer, _ := document(body)
	var object []byte
	for m := range members(answer) {
		if string(m.name) == "error" {
			object = m.value
		}
	}
	for m := range members(object) {
		switch string(m.name) {
		case "code":
			code = text(m.value)
		case "type":
			kind = text(m.value)
		}
	}
	for _, word := range []string{code, kind} {
		if isCode(word) && !strings.Contains(word, KeyPrefix) && !slices.ContainsFunc(secrets, func(k *apiKey) bool { return k.partOf(word) }) {
			return word, kind
		}
	}
	return "", kind
}

// isCode reports whether a text has the form of a code: up to six words of letters, each followed by up to six digits.
// Anything else may be prose, or an encoded credential.
func isCode(s string) bool {
	words := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("_.-", r) })
	if len(words) == 0 || len(words) > 6 || len(s) != len(strings.Join(words, "_")) {
		return false
	}
	return !slices.ContainsFunc(words, func(word string) bool {
		letters := strings.TrimRight(word, "0123456789")
		return letters == "" || len(letters) > 32 || len(word)-len(letters) > 6 ||
			strings.ContainsFunc(letters, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' })
	})
}

// maxRetryAfter bounds Retry-After. A date may be centuries away, and a time.Duration would overflow when callers add to
// it.
const maxRetryAfter = 24 * time.Hour

// retryAfter parses both forms of the header, seconds and a date (RFC 9110 section 10.2.3); 0 for anything else. "0" and a
// date in the past count as one second, the header's unit.
func retryAfter(header string, now time.Time) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return max(time.Second, time.Duration(min(seconds, uint64(maxRetryAfter/time.Second)))*time.Second)
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(time.Second, date.Sub(now)), maxRetryAfter)
	}
	return 0
}

// transportError returns the error of a call without a complete answer; status is 0 if there was no answer at all.
func transportError(ctx context.Context, call Call, status int, err error) error {
	e := &Error{Call: call, Status: status, Kind: ErrConnection}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind = context.Canceled
	case ctx.Err() != nil:
		e.Kind, e.cause = ErrTimeout, ctx.Err()
	case isTimeout(err):
		e.Kind = ErrTimeout
		fallthrough
	default:
		e.cause = neterror.Describe(err)
		e.detail = e.cause.Error()
	}
	return e
}

func isTimeout(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout() // true for context.DeadlineExceeded, too
}
