package orga

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Call names one of the API's calls.
type Call string

// The calls that a Client makes.
const (
	CallMint Call = "mint"
	CallICE  Call = "ice"
)

// The kinds of an Error, for errors.Is.
var (
	ErrAuthentication = errors.New("the credential is refused")           // 401, 403
	ErrRateLimited    = errors.New("the API is limiting requests")        // 429
	ErrServer         = errors.New("the API failed")                      // 5xx
	ErrRedirect       = errors.New("the API redirects; not followed")     // 3xx
	ErrRequest        = errors.New("the API does not accept the request") // any other status
	ErrMalformed      = errors.New("the answer cannot be used")
	ErrTimeout        = errors.New("no answer in time")
	ErrConnection     = errors.New("the connection failed")
)

// Error is a call that failed. Its text is for a log: it has the call, the status and Orga's own
// code, and never a word of the answer's body, a key or a token.
type Error struct {
	Call       Call
	Status     int           // of the answer; 0 when there was none
	Kind       error         // one of the kinds above, or context.Canceled
	Code       string        // Orga's own error code or type, "" when it gave none that is safe to print
	RetryAfter time.Duration // what the answer's Retry-After asks for; 0 when it says nothing usable
	detail     string
	cause      error
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

// Unwrap makes errors.Is see the kind and, where the connection failed, what the network said.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// statusError reads what an answer other than 200 says.
func statusError(call Call, resp *http.Response, body []byte, credential string) error {
	e := &Error{
		Call: call, Status: resp.StatusCode, Kind: ErrRequest,
		Code:       errorCode(body, credential),
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		e.Kind = ErrAuthentication
	case s == http.StatusTooManyRequests:
		e.Kind = ErrRateLimited
	case s >= 500:
		e.Kind = ErrServer
	case s >= 300 && s < 400:
		e.Kind = ErrRedirect
	}
	return e
}

// safeCode is what a code looks like; anything else might be prose, with who knows what in it.
var safeCode = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

// errorCode finds Orga's code in an error body: {"error":{"code","type"}}, in all other shapes none.
func errorCode(body []byte, credential string) string {
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	var inner struct {
		Code any `json:"code"`
		Type any `json:"type"`
	}
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(answer.Error, &inner) != nil {
		return ""
	}
	for _, v := range []any{inner.Code, inner.Type} {
		code, ok := v.(string)
		if ok && safeCode.MatchString(code) && !strings.Contains(code, KeyPrefix) &&
			!strings.Contains(code, credential) && !strings.Contains(credential, code) {
			return code
		}
	}
	return ""
}

// retryAfter reads the header's two forms, seconds and a date (RFC 9110 section 10.2.3); 0 for
// anything else and for the past.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(header), 10, 64); err == nil {
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// describe says in our own words what the network said: net/http quotes what it could not parse, and
// that is the answer's text.
func describe(err error) string {
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		return opErr.Error() // addresses and what the system said of them
	}
	if certErr, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certErr.Error()
	}
	switch {
	case isTimeout(err):
		return "timed out"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed before the whole answer arrived"
	}
	return "the exchange broke off"
}

func isTimeout(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout() || errors.Is(err, context.DeadlineExceeded)
}
