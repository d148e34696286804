package orgacloud

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/orga"
)

// maxTokens bounds the tokens that are remembered. A mint beyond it is refused: no client of a local
// cloud has so many alive at once but one that loops.
const maxTokens = 10_000

// afterlife is how long a token is remembered once it has expired, to be refused by its own name.
const afterlife = 10 * time.Minute

// The ways in which a token is refused.
var (
	errNoToken      = errors.New("invalid_token")
	errExpired      = errors.New("token_expired")
	errSpent        = errors.New("token_spent")
	errPermanentKey = errors.New("permanent_key")
)

// explain says to a developer what is wrong with a token. It repeats nothing of it.
var explain = map[error]string{
	errNoToken:      "This is no token of this cloud.",
	errExpired:      "This token has expired. Ask the endpoint for a new one right before the call.",
	errSpent:        "This token has opened a call already. A token is for one session.",
	errPermanentKey: "This is a permanent API key. It belongs on the server; a client gets an ephemeral token.",
}

// tokens are the tokens of a cloud: each valid until it expires or has opened a call. It is safe for
// concurrent use.
type tokens struct {
	secret []byte

	mu   sync.Mutex
	live map[string]*token
}

// token is what the cloud knows of one that it minted.
type token struct {
	id      string // its jti: tells tokens apart in stats and TURN usernames, and opens nothing
	expires time.Time
	spent   bool
}

func newTokens() *tokens {
	return &tokens{secret: []byte(rand.Text()), live: map[string]*token{}}
}

// mint makes a token: a JWT, as Orga's are. It fails when too many are alive.
func (t *tokens) mint(ttl time.Duration) (text string, expires time.Time, err error) {
	now := time.Now()
	expires = now.Add(ttl)
	id := rand.Text()[:12]
	encode := base64.RawURLEncoding.EncodeToString
	text = encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		encode(fmt.Appendf(nil, `{"jti":%q,"exp":%d}`, id, expires.Unix()))
	mac := hmac.New(sha256.New, t.secret)
	mac.Write([]byte(text))
	text += "." + encode(mac.Sum(nil))

	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.live) >= maxTokens {
		for old, known := range t.live {
			if now.Sub(known.expires) > afterlife || known.spent {
				delete(t.live, old)
			}
		}
		if len(t.live) >= maxTokens {
			return "", time.Time{}, fmt.Errorf("%d tokens are alive", maxTokens)
		}
	}
	t.live[text] = &token{id: id, expires: expires}
	return text, expires, nil
}

// check finds the token of a request. Its errors are those above.
func (t *tokens) check(r *http.Request) (token, error) { return t.use(r, false) }

// spend is check for the one call that the token opens.
func (t *tokens) spend(r *http.Request) (token, error) { return t.use(r, true) }

func (t *tokens) use(r *http.Request, spend bool) (token, error) {
	text := bearer(r)
	if strings.HasPrefix(text, orga.KeyPrefix) {
		return token{}, errPermanentKey
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.live[text]
	switch {
	case !ok:
		return token{}, errNoToken
	case known.spent:
		return token{}, errSpent
	case !time.Now().Before(known.expires):
		return token{}, errExpired
	}
	known.spent = spend
	return *known, nil
}

// count is how many could still open a call.
func (t *tokens) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, n := time.Now(), 0
	for _, known := range t.live {
		if !known.spent && now.Before(known.expires) {
			n++
		}
	}
	return n
}

// bearer is the credential of a request, "" when it has none. The scheme's case does not matter
// (RFC 9110 section 11.1).
func bearer(r *http.Request) string {
	scheme, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return credential
}
