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
	"sync"
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
	ErrMalformed      = errors.New("the answer cannot be used")           // 2xx, but not the JSON that was expected, and it alone
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
	RetryAfter time.Duration // what the answer's Retry-After asks for, at least 1 s; 0 when it says nothing usable
	detail     string        // our own words
	cause      error         // of a connection that failed: see known
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

// statusError reads what an answer other than 2xx says.
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

// safeCode is what a code looks like: a few words. Anything else might be prose, or a credential in
// one of its encodings. It is compiled when it is needed: that takes longer than a cold start may.
var safeCode = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z]{1,32}[0-9]{0,6}([_.-][A-Za-z]{1,32}[0-9]{0,6}){0,5}$`)
})

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
		if ok && safeCode().MatchString(code) && !strings.Contains(code, KeyPrefix) &&
			!strings.Contains(code, credential) && !strings.Contains(credential, code) {
			return code
		}
	}
	return ""
}

// retryAfter reads the header's two forms, seconds and a date (RFC 9110 section 10.2.3); 0 for
// anything else. Seconds are its unit: "0" and a date that has passed are a second.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	seconds, err := strconv.ParseUint(header, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return max(time.Second, time.Duration(min(seconds, math.MaxInt64/uint64(time.Second)))*time.Second)
	}
	if date, err := http.ParseTime(header); err == nil {
		const far = 24 * time.Hour // a date may be centuries away, and no Duration has room for what is added to that
		return min(max(time.Second, date.Sub(now)), far)
	}
	return 0
}

// transportError says what happened to a call that got no whole answer; status is 0 when it got none
// at all.
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
		e.detail, e.cause = known(err)
	}
	return e
}

// known finds in a transport's error what is fit to be printed and passed on: addresses and what the
// system, or the check of a certificate, said of them. All else is put in our own words, and dropped:
// url.Error quotes the URL, which may hold the user's email, and net/http quotes what it could not
// parse, which is the answer's text.
func known(err error) (detail string, cause error) {
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		return opErr.Error(), opErr
	}
	if certErr, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certErr.Error(), certErr
	}
	if isTimeout(err) {
		return "", context.DeadlineExceeded
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "closed before the whole answer arrived", io.ErrUnexpectedEOF
	}
	return "the exchange broke off", nil
}

func isTimeout(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout() || errors.Is(err, context.DeadlineExceeded)
}
