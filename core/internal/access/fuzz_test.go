package access_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

// FuzzAuthorization sends headers without a valid credential.
func FuzzAuthorization(f *testing.F) {
	const key = "key-of-a-test-0123456789abcdef0123"
	h, m := whole(access.HMAC(keysOf(key)), oidc(f), access.Gateway())
	for _, seed := range []string{
		"", "Bearer", "Bearer ..", "Bearer a.b.c", "Bearer a.b.c.d.e", "Bearer {\"payload\":\"\"}", "Bearer eyJhbGciOiJub25lIn0.e30.", "bearer  eyJhbGciOiJSUzI1NiJ9.e30.AA",
		"Orga-HMAC ts=1,sig=", "Orga-HMAC ts=1,sub=,sig=", sign("another", "GET", mintPath, time.Now()), "Basic YTpi", "Orga-HMAC ts=" + strings.Repeat("9", 40) + ",sig=" + strings.Repeat("0", 64),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		w := requesttest.Serve(h, requesttest.New("Authorization", header))
		if code := requesttest.Code(t, w); code != "unauthenticated" && code != "auth_unavailable" || m.N != 0 {
			t.Errorf("%q: code %q, minted %d times", header, code, m.N)
		}
	})
}

// FuzzHMAC signs for any subject at any time, and then inserts anything anywhere into the header.
func FuzzHMAC(f *testing.F) {
	const key = "key-of-a-test-0123456789abcdef0123"
	f.Add(0, "", 0, "")
	f.Add(299, "ada@app.example", 14, ",sub=eve")
	f.Add(-301, "a,sig=b", 9, "\n")
	f.Add(0, "ada", 20, ",")
	isSubject := regexp.MustCompile(`^[A-Za-z0-9._~:@|+-]{1,128}$`)
	verifier := access.HMAC(keysOf(strings.Repeat("other", 8) + "\n" + key))
	f.Fuzz(func(t *testing.T, offset int, subject string, at int, more string) {
		ts := time.Now().Add(time.Duration(offset%1000) * time.Second)
		header := signSubject(key, subject, ts, func(ts int64, sig string) string {
			if subject == "" {
				return fmt.Sprintf("Orga-HMAC ts=%d,sig=%s", ts, sig)
			}
			return fmt.Sprintf("Orga-HMAC ts=%d,sub=%s,sig=%s", ts, subject, sig)
		})
		p, err := verifier.Verify(requesttest.New("Authorization", header))
		away := offset % 1000
		if away = max(away, -away); away < 299 && (err == nil) != (subject == "" || isSubject.MatchString(subject)) || away > 302 && err == nil {
			t.Errorf("%q, %d s away: %v", header, away, err)
		}
		if err == nil && p.Subject != subject {
			t.Errorf("%q: the subject is %q", header, p.Subject)
		}
		at = max(at, -at, 0) % (len(header) + 1)
		changed := header[:at] + more + header[at:]
		// Additional spaces after the scheme do not change the credential.
		if q, err := verifier.Verify(requesttest.New("Authorization", changed)); err == nil && (q.Subject != p.Subject || strings.Replace(changed, strings.Repeat(" ", len(more)+1), " ", 1) != header) {
			t.Errorf("%q is accepted for %q", changed, q.Subject)
		}
	})
}
