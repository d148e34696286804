package orgatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/orga"
)

const (
	// Key is a permanent key for tests.
	Key = orga.KeyPrefix + "test0000000000000000000000000000"

	defaultTTL = 2 * time.Minute
	keep       = 1 << 14 // number of valid tokens
)

// API is a fake of the Orga API. The zero API is ready: it accepts every key with the right prefix and answers in the
// documented form. Its methods are safe for concurrent use; change its fields before the first request or in
// [API.Change].
type API struct {
	// MintDrift and ICEDrift are the forms of the answers; the zero value is the documented form.
	MintDrift MintDrift
	ICEDrift  ICEDrift
	// TTL is the lifetime of tokens; 0 means two minutes.
	TTL time.Duration
	// ClockSkew is added to the expiry in a mint's answer, but not to the token's own.
	ClockSkew time.Duration
	// Delay delays each answer and each fault.
	Delay time.Duration
	// UserEmail, if set, is the ?email= that a mint requires, as with older accounts: without one, the answer is a 422, with
	// another a 404 of type not_found_error.
	UserEmail string
	// ICEServers, if set, returns the servers for a token, instead of [Servers].
	ICEServers func(token Token) []ICEServer
	// Intercept, if set, is called first for each request. If it returns a handler, that answers instead of the API.
	Intercept func(call orga.Call, r *http.Request) http.Handler

	mu      sync.Mutex
	keys    []string
	calls   map[orga.Call]int
	served  map[orga.Call]int
	refused map[string]int
	next    map[orga.Call][]http.Handler
	always  map[orga.Call]http.Handler
	minted  []string // tokens, oldest first
	tokens  map[string]*issued
}

// issued is a token that the API knows.
type issued struct {
	Token
	used bool
}

// Change changes the API's fields while it serves requests. The function must not call the API's methods.
func (a *API) Change(set func(*API)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	set(a)
}

// AcceptKeys replaces the accepted permanent keys, as a rotation does. Without arguments, every key with the right prefix
// is accepted.
func (a *API) AcceptKeys(keys ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = slices.Clone(keys)
}

// Fail makes the next calls fail with the given faults, in order; nil lets one call succeed.
func (a *API) Fail(call orga.Call, faults ...http.Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = map[orga.Call][]http.Handler{}
	}
	a.next[call] = append(a.next[call], faults...)
}

// FailAll makes every call fail for which Fail has set nothing; nil ends that.
func (a *API) FailAll(call orga.Call, fault http.Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.always == nil {
		a.always = map[orga.Call]http.Handler{}
	}
	a.always[call] = fault
}

// Calls returns how often the call was made, including faults and refusals.
func (a *API) Calls(call orga.Call) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[call]
}

// Served returns how often the call succeeded.
func (a *API) Served(call orga.Call) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.served[call]
}

// Refused returns how many requests the API refused, by error code: invalid_api_key, invalid_token, token_expired, …
func (a *API) Refused() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.refused)
}

// Tokens returns the minted tokens, oldest first: the last 12,288 at least. Older ones are no longer valid.
func (a *API) Tokens() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.minted)
}

// Alive returns how many of them can still open a call.
func (a *API) Alive() int {
	n := 0
	for _, token := range a.Tokens() {
		if _, err := a.check(token, false); err == nil {
			n++
		}
	}
	return n
}

// Use validates the bearer token of a request and marks it as used: a token opens one call. If the token is invalid, Use
// refuses the request and returns false.
func (a *API) Use(w http.ResponseWriter, r *http.Request) (Token, bool) {
	return a.authenticate(w, r, true)
}

// Refuse answers with an error in Orga's form and counts it.
func (a *API) Refuse(w http.ResponseWriter, status int, code, message string) {
	a.refuse(w, status, code, ErrorBody(code, message))
}

func (a *API) refuse(w http.ResponseWriter, status int, code, body string) {
	a.mu.Lock()
	if a.refused == nil {
		a.refused = map[string]int{}
	}
	a.refused[code]++
	a.mu.Unlock()
	Status(status, body).ServeHTTP(w, nil)
}

// ServeHTTP serves the API.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call orga.Call
	method, serve := http.MethodPost, a.mint
	switch r.URL.Path {
	case "/v1/realtime/client-secrets":
		call = orga.CallMint
	case "/v1/realtime/ice-config":
		call, method, serve = orga.CallICE, http.MethodGet, a.ice
	default:
		a.Refuse(w, http.StatusNotFound, "not_found", "there is no such path")
		return
	}
	fault, now := a.count(call), a.fields()
	if now.Intercept != nil {
		if h := now.Intercept(call, r); h != nil {
			fault = h
		}
	}
	if now.Delay > 0 {
		select {
		case <-time.After(now.Delay):
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case fault != nil:
		fault.ServeHTTP(w, r)
	case r.Method != method:
		a.Refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "this call is made with "+method)
	default:
		serve(w, r)
	}
}

// fields returns a copy of the API's fields.
func (a *API) fields() *API {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &API{MintDrift: a.MintDrift, ICEDrift: a.ICEDrift, TTL: a.TTL, ClockSkew: a.ClockSkew, Delay: a.Delay,
		UserEmail: a.UserEmail, ICEServers: a.ICEServers, Intercept: a.Intercept}
}

// count counts a call and returns its fault.
func (a *API) count(call orga.Call) http.Handler {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls == nil {
		a.calls = map[orga.Call]int{}
	}
	a.calls[call]++
	if waiting := a.next[call]; len(waiting) > 0 {
		a.next[call] = waiting[1:]
		return waiting[0]
	}
	return a.always[call]
}

func (a *API) mint(w http.ResponseWriter, r *http.Request) {
	now := a.fields()
	email := r.URL.Query().Get("email")
	body, err := io.ReadAll(io.LimitReader(r.Body, 1))
	switch key := bearer(r); {
	case !a.accepts(key):
		a.Refuse(w, http.StatusUnauthorized, "invalid_api_key", "the key is not valid")
	case r.Header.Get("Content-Type") != "application/json":
		a.Refuse(w, http.StatusUnsupportedMediaType, "invalid_content_type", "Content-Type must be application/json")
	case err != nil || len(body) > 0:
		a.Refuse(w, http.StatusBadRequest, "invalid_body", "the body must be empty")
	case now.UserEmail != "" && email == "":
		a.refuse(w, http.StatusUnprocessableEntity, "email_missing",
			`{"detail":[{"loc":["query","email"],"msg":"field required","type":"value_error.missing"}]}`)
	case now.UserEmail != "" && email != now.UserEmail:
		a.refuse(w, http.StatusNotFound, "not_found_error",
			`{"error":{"message":"User not found","type":"not_found_error","param":null,"code":null}}`)
	default:
		ttl := now.TTL
		if ttl == 0 {
			ttl = defaultTTL
		}
		expires := time.Now().Add(ttl)
		drift := now.MintDrift
		if drift.Body == nil {
			drift = MintDrifts[0]
		}
		a.serve(w, orga.CallMint, drift.Body(a.issue(expires), expires.Add(now.ClockSkew)))
	}
}

func (a *API) ice(w http.ResponseWriter, r *http.Request) {
	token, ok := a.authenticate(w, r, false)
	if !ok {
		return
	}
	now := a.fields()
	drift := now.ICEDrift
	if drift.Body == nil {
		drift = ICEDrifts[0]
	}
	servers := Servers(bearer(r))
	if now.ICEServers != nil {
		servers = now.ICEServers(token)
	}
	answer, _ := drift.Body(servers)
	a.serve(w, orga.CallICE, answer)
}

func (a *API) accepts(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.keys) == 0 {
		return strings.HasPrefix(key, orga.KeyPrefix)
	}
	return slices.Contains(a.keys, key)
}

// issue mints a token and stores it.
func (a *API) issue(expires time.Time) string {
	text, token := newToken(expires)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens == nil {
		a.tokens = map[string]*issued{}
	}
	if len(a.minted) == keep {
		for _, old := range a.minted[:keep/4] {
			delete(a.tokens, old)
		}
		a.minted = slices.Delete(a.minted, 0, keep/4)
	}
	a.minted, a.tokens[text] = append(a.minted, text), &issued{Token: token}
	return text
}

// Reasons for refusing a token. Their texts are the error codes.
var (
	errNoToken      = errors.New("invalid_token")
	errExpired      = errors.New("token_expired")
	errUsed         = errors.New("token_spent")
	errPermanentKey = errors.New("permanent_key")
)

// explain tells a developer what is wrong with a token, without repeating it.
var explain = map[error]string{
	errNoToken:      "This is not a token of this API.",
	errExpired:      "This token has expired. Ask the endpoint for a new one right before the call.",
	errUsed:         "This token has opened a call already. A token is for one session.",
	errPermanentKey: "This is a permanent API key. It belongs on the server; a client gets an ephemeral token.",
}

func (a *API) authenticate(w http.ResponseWriter, r *http.Request, use bool) (Token, bool) {
	token, err := a.check(bearer(r), use)
	if err != nil {
		a.Refuse(w, http.StatusUnauthorized, err.Error(), explain[err])
	}
	return token, err == nil
}

// check returns a valid token, and marks it as used if use is set.
func (a *API) check(text string, use bool) (Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := a.tokens[text]
	switch {
	case strings.HasPrefix(text, orga.KeyPrefix):
		return Token{}, errPermanentKey
	case token == nil:
		return Token{}, errNoToken
	case token.used:
		return Token{}, errUsed
	case !time.Now().Before(token.Expires):
		return Token{}, errExpired
	}
	token.used = use
	return token.Token, nil
}

// bearer returns the credential of a request, "" if it has none. The scheme is case-insensitive (RFC 9110 section 11.1).
func bearer(r *http.Request) string {
	scheme, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return credential
}

func (a *API) serve(w http.ResponseWriter, call orga.Call, body string) {
	a.mu.Lock()
	if a.served == nil {
		a.served = map[orga.Call]int{}
	}
	a.served[call]++
	a.mu.Unlock()
	Status(http.StatusOK, body, "Cache-Control", "no-store").ServeHTTP(w, nil)
}

// ErrorBody returns an error in the form of Orga's documentation.
func ErrorBody(code, message string) string {
	text, _ := json.Marshal(message) // a string always marshals
	return fmt.Sprintf(`{"error":{"message":%s,"type":"invalid_request_error","param":null,"code":%q}}`, text, code)
}
