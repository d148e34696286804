package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/authheader"
	"github.com/orga-session/orga-session/core/internal/problem"
)

// hmacWindow is how far the signer's clock may differ from ours, in either direction. An intercepted header can be
// replayed, on the same path, until its ts is this old.
const hmacWindow = 5 * time.Minute

var (
	errHMACForm  = errors.New("hmac: the header is not of the form Orga-HMAC ts=<unix seconds>,sig=<64 hex digits>, or with sub=<subject> between them")
	errHMACStale = errors.New("hmac: ts is more than 5 minutes off")
	errHMACWrong = errors.New("hmac: the signature does not match")
	errHMACKeys  = errors.New("must be one key, or two on a line each; a key is 32 or more of A-Z a-z 0-9 + / = _ -, such as the output of openssl rand -hex 32")
)

// HMAC accepts callers who share a key with the endpoint, such as a user's own backend. They send
//
//	Authorization: Orga-HMAC ts=<unix seconds>,sub=<subject>,sig=<hex>
//
// with sig = HMAC-SHA256(key, METHOD "\n" PATH "\n" ts "\n" sub), where PATH is the escaped path as sent,
// without the query; see [auth.SignRequest]. Without a subject, its newline is omitted too, and limits count by
// address.
//
// keysText returns the key, or during a rotation two keys on separate lines: see [CheckHMACKeys]. It is called for each
// well-formed, timely request, so it should cache.
func HMAC(keysText func(context.Context) (string, *problem.Problem)) Method {
	return Method{Name: "hmac", Scheme: authheader.HMAC, Verifier: auth.VerifierFunc(func(r *http.Request) (auth.Principal, error) {
		signed, err := parseHMAC(r.Header)
		if err != nil {
			return auth.Principal{}, err
		}
		// Checked before the keys are read, so that a refusal costs almost nothing. A ts has whole seconds.
		if away := time.Now().Truncate(time.Second).Sub(signed.at).Abs(); away > hmacWindow {
			return auth.Principal{}, errHMACStale
		}
		text, refusal := keysText(r.Context())
		if refusal != nil {
			return auth.Principal{}, refusal
		}
		keys, err := hmacKeys(text)
		if err != nil {
			return auth.Principal{}, problem.New(problem.Misconfigured, fmt.Errorf("hmac: the keys %w", err))
		}
		for _, key := range keys {
			if hmac.Equal(authheader.Signature(key, r.Method, authheader.SentPath(r), signed.ts, signed.subject), signed.sig) {
				return auth.Principal{Subject: signed.subject, Issuer: "hmac", PathSigned: true}, nil
			}
		}
		return auth.Principal{}, errHMACWrong
	})}
}

// CheckHMACKeys validates the text of a secret with HMAC keys: one key or, during a rotation, two on separate lines.
// A key is [A-Za-z0-9+/=_-]{32,}. The error does not repeat the text.
func CheckHMACKeys(text string) error {
	_, err := hmacKeys(text)
	return err
}

func hmacKeys(text string) ([]string, error) {
	keys := strings.Split(strings.TrimSpace(text), "\n")
	for i, key := range keys {
		if keys[i] = strings.TrimSpace(key); !authheader.IsKey(keys[i]) {
			return nil, errHMACKeys
		}
	}
	if len(keys) > 2 {
		return nil, errHMACKeys
	}
	return keys, nil
}

// hmacCredential has the parts of a header.
type hmacCredential struct {
	ts      string // as sent, because the digits were signed
	at      time.Time
	subject string // "" if the header has none
	sig     []byte
}

func parseHMAC(h http.Header) (c hmacCredential, err error) {
	params, ok := authheader.Credential(h, authheader.HMAC)
	if !ok {
		return c, auth.ErrNoCredential
	}
	params, isTS := strings.CutPrefix(params, "ts=")
	ts, sigHex, hasSig := strings.Cut(params, ",sig=")
	ts, subject, hasSubject := strings.Cut(ts, ",sub=")
	if !isTS || !hasSig || hasSubject && !authheader.IsSubject(subject) || len(sigHex) != 2*sha256.Size {
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
