package auth

import (
	"cmp"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/orga-session/orga-session/core/internal/authheader"
)

// SignRequest signs r for an endpoint with ORGA_AUTH=hmac: it sets the Authorization header, which is valid for five
// minutes. subject identifies the user in limits and logs: an ID of [A-Za-z0-9._~:@|+-]{1,128}, or "" for none. Do not
// change r's method or URL afterwards. The error repeats neither key nor subject.
func SignRequest(r *http.Request, key, subject string) error {
	if !authheader.IsKey(key) {
		return errors.New("hmac: the key must be 32 or more of A-Z a-z 0-9 + / = _ -")
	}
	if subject != "" && !authheader.IsSubject(subject) {
		return errors.New("hmac: the subject must be 1 to 128 of A-Z a-z 0-9 . _ ~ : @ | + -")
	}
	ts := strconv.FormatInt(time.Now().Unix(), 10)
	sig := hex.EncodeToString(authheader.Signature(key, cmp.Or(r.Method, http.MethodGet), authheader.SentPath(r), ts, subject))
	if subject != "" {
		ts += ",sub=" + subject
	}
	r.Header.Set("Authorization", authheader.HMAC+" ts="+ts+",sig="+sig)
	return nil
}
