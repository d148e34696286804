package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/internal/problem"
)

const (
	hmacScheme = "Orga-HMAC"
	// hmacWindow is how far the signer's clock may be from ours, either way. A header that is overheard
	// can be replayed for as long, on the same path only.
	hmacWindow = 5 * time.Minute
)

var (
	errHMACForm  = errors.New("hmac: the header is not of the form Orga-HMAC ts=<unix seconds>,sig=<64 hex digits>, or with sub=<subject> between them")
	errHMACStale = errors.New("hmac: ts is more than 5 minutes off")
	errHMACWrong = errors.New("hmac: the signature does not match")
	errHMACKeys  = errors.New("must be one key, or two on a line each; a key is 32 or more of A-Z a-z 0-9 + / = _ -, such as the output of openssl rand -hex 32")
)

// HMACConfig configures [HMAC].
type HMACConfig struct {
	// Keys returns the key, or two separated by a newline while one replaces the other: see [CheckHMACKeys].
	// It is called for each well-formed, timely request, so it should cache. An error that is not a
	// [*problem.Problem] is answered as SecretUnavailable.
	Keys func(ctx context.Context) (string, error)
}

// HMAC accepts callers who share a key with the endpoint, such as a user's own backend. They send
//
//	Authorization: Orga-HMAC ts=<unix seconds>,sub=<subject>,sig=<hex>
//
// with sig = HMAC-SHA256(key, METHOD "\n" PATH "\n" ts "\n" sub), where PATH is the escaped path as sent,
// without the query; see [SignRequest]. Without a subject, its newline is omitted too, and limits count by
// address.
func HMAC(cfg HMACConfig) Method {
	return Method{Name: "hmac", Scheme: hmacScheme, Verifier: VerifierFunc(func(r *http.Request) (Principal, error) {
		signed, err := parseHMAC(r.Header)
		if err != nil {
			return Principal{}, err
		}
		// Checked before the keys are asked for, so that refusing costs next to nothing. A ts has whole seconds.
		if away := time.Now().Truncate(time.Second).Sub(signed.at).Abs(); away > hmacWindow {
			return Principal{}, errHMACStale
		}
		text, err := cfg.Keys(r.Context())
		if err != nil {
			if _, ok := errors.AsType[*problem.Problem](err); !ok {
				err = &problem.Problem{Code: problem.SecretUnavailable, RetryAfter: time.Second, Cause: err}
			}
			return Principal{}, err
		}
		keys, err := hmacKeys(text)
		if err != nil {
			return Principal{}, problem.New(problem.Misconfigured, fmt.Errorf("hmac: the keys %w", err))
		}
		for _, key := range keys {
			if hmac.Equal(signature(key, r.Method, sentPath(r), signed.ts, signed.subject), signed.sig) {
				return Principal{Subject: signed.subject, Issuer: "hmac", PathSigned: true}, nil
			}
		}
		return Principal{}, errHMACWrong
	})}
}

// CheckHMACKeys validates the text of a secret with HMAC keys: one key, or two on a line each during a
// rotation. A key is [A-Za-z0-9+/=_-]{32,}. The error does not repeat the text.
func CheckHMACKeys(text string) error {
	_, err := hmacKeys(text)
	return err
}

func isHMACKey(s string) bool { return len(s) >= 32 && isAlphanumericOr(s, "+/=_-") }

func hmacKeys(text string) ([]string, error) {
	keys := strings.Split(strings.TrimSpace(text), "\n")
	for i, key := range keys {
		if keys[i] = strings.TrimSpace(key); !isHMACKey(keys[i]) {
			return nil, errHMACKeys
		}
	}
	if len(keys) > 2 {
		return nil, errHMACKeys
	}
	return keys, nil
}

// SignRequest signs r for an endpoint with ORGA_AUTH=hmac: it sets the Authorization header, which is valid
// for five minutes. subject identifies the user in limits and logs: an id of [A-Za-z0-9._~:@|+-]{1,128}, or ""
// for none. The method and the URL of r must not change afterwards. The error does not repeat key or subject.
func SignRequest(r *http.Request, key, subject string) error {
	if !isHMACKey(key) {
		return errors.New("hmac: the key must be 32 or more of A-Z a-z 0-9 + / = _ -")
	}
	if subject != "" && !isSubject(subject) {
		return errors.New("hmac: the subject must be 1 to 128 of A-Z a-z 0-9 . _ ~ : @ | + -")
	}
	ts := strconv.FormatInt(time.Now().Unix(), 10)
	sig := hex.EncodeToString(signature(key, cmp.Or(r.Method, http.MethodGet), sentPath(r), ts, subject))
	if subject != "" {
		ts += ",sub=" + subject
	}
	r.Header.Set("Authorization", hmacScheme+" ts="+ts+",sig="+sig)
	return nil
}

func signature(key, method, path, ts, subject string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	message := method + "\n" + path + "\n" + ts
	if subject != "" {
		message += "\n" + subject
	}
	_, _ = io.WriteString(mac, message) // a hash never fails
	return mac.Sum(nil)
}

// hmacCredential is what a header claims.
type hmacCredential struct {
	ts      string // the digits as they came, which are what was signed
	at      time.Time
	subject string // "" when the header names none
	sig     []byte
}

func parseHMAC(h http.Header) (c hmacCredential, err error) {
	params, ok := credential(h, hmacScheme)
	if !ok {
		return c, ErrNoCredential
	}
	params, isTS := strings.CutPrefix(params, "ts=")
	ts, sigHex, hasSig := strings.Cut(params, ",sig=")
	ts, subject, hasSubject := strings.Cut(ts, ",sub=")
	if !isTS || !hasSig || hasSubject && !isSubject(subject) || len(sigHex) != 2*sha256.Size {
		return c, errHMACForm
	}
	seconds, err := strconv.ParseUint(ts, 10, 63)
	if err != nil {
		return c, errHMACForm
	}
	sig, err := hex.DecodeString(sigHex)
	if err != nil {
		return c, errHMACForm
	}
	return hmacCredential{ts, time.Unix(int64(seconds), 0), subject, sig}, nil
}

// isSubject reports whether s may stand as a subject in the header: one that could hold a comma or a
// newline would give one signature two meanings.
func isSubject(s string) bool {
	return s != "" && len(s) <= 128 && isAlphanumericOr(s, "._~:@|+-")
}

// isAlphanumericOr reports whether s consists of ASCII letters and digits, and characters of others. It is
// no regular expression, as compiling one costs a cold start more than everything else here.
func isAlphanumericOr(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return false
		}
	}
	return true
}

// sentPath returns the path as the client sent it, escapes and stage prefix included.
func sentPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // a request that no server has read, or one in absolute form
		return cmp.Or(r.URL.EscapedPath(), "/")
	}
	return path
}
