package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/problem"
)

// hmacWindow is how far the clock of a signer may be from ours, either way. A header that is
// overheard can be replayed for as long, on the same path only.
const hmacWindow = 5 * time.Minute

var (
	errHMACForm  = errors.New("hmac: the header is not of the form Orga-HMAC ts=<unix seconds>,sig=<64 hex digits>")
	errHMACStale = errors.New("hmac: ts is more than five minutes away from our clock")
	errHMACWrong = errors.New("hmac: the signature does not match")
)

// NewHMAC accepts callers who share a key with us, as a user's own backend does. They send
//
//	Authorization: Orga-HMAC ts=<unix seconds>,sig=<hex>
//
// with sig = HMAC-SHA256(key, METHOD "\n" PATH "\n" ts), PATH being the escaped path as it was sent,
// without the query. The principal has no subject: limits count by address.
//
// keys gives the key, or several separated by newlines while one replaces another. It is called once
// for each request that is well formed and in time, and keeps them at hand itself. An error of its
// that is no *problem.Problem is answered as SecretUnavailable.
func NewHMAC(keys func(ctx context.Context) (string, error)) Verifier {
	return VerifierFunc(func(r *http.Request) (Principal, error) {
		ts, sig, err := parseHMAC(r.Header)
		if err != nil {
			return Principal{}, err
		}
		// Checked before the key is asked for, so that refusing costs next to nothing.
		if away := time.Now().Truncate(time.Second).Sub(ts.at).Abs(); away > hmacWindow { // ts has whole seconds, too
			return Principal{}, errHMACStale
		}
		all, err := keys(r.Context())
		if err != nil {
			if _, ok := errors.AsType[*problem.Problem](err); !ok {
				err = &problem.Problem{Code: problem.SecretUnavailable, RetryAfter: time.Second, Cause: err}
			}
			return Principal{}, err
		}
		message := r.Method + "\n" + sentPath(r) + "\n" + ts.text
		for key := range strings.SplitSeq(all, "\n") {
			key = strings.TrimSpace(key)
			if key == "" { // anybody can sign with an empty key
				continue
			}
			mac := hmac.New(sha256.New, []byte(key))
			_, _ = io.WriteString(mac, message) // a hash never fails
			if hmac.Equal(mac.Sum(nil), sig) {
				return Principal{PathSigned: true}, nil
			}
		}
		return Principal{}, errHMACWrong
	})
}

// timestamp is a time and the digits it came as, which are what was signed.
type timestamp struct {
	text string
	at   time.Time
}

func parseHMAC(h http.Header) (ts timestamp, sig []byte, err error) {
	params, ok := credential(h, "Orga-HMAC")
	if !ok {
		return timestamp{}, nil, ErrNoCredential
	}
	params, ok = strings.CutPrefix(params, "ts=")
	digits, sigHex, found := strings.Cut(params, ",sig=")
	// Twelve digits last for thirty thousand years, and never overflow.
	if !ok || !found || len(digits) > 12 || len(sigHex) != 2*sha256.Size {
		return timestamp{}, nil, errHMACForm
	}
	seconds, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return timestamp{}, nil, errHMACForm
	}
	if sig, err = hex.DecodeString(sigHex); err != nil {
		return timestamp{}, nil, errHMACForm
	}
	return timestamp{digits, time.Unix(int64(seconds), 0)}, sig, nil
}

// sentPath is the path as the client sent it, escapes and stage prefix included.
func sentPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // a request that no server read, or one in absolute form
		return r.URL.EscapedPath()
	}
	return path
}

// credential is what follows scheme in the Authorization header; false when there is no such header,
// or more than one: which of them counts is not ours to guess.
func credential(h http.Header, scheme string) (string, bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	name, rest, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(name, scheme) {
		return "", false
	}
	return strings.TrimLeft(rest, " "), true
}
