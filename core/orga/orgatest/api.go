package orgatest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/orga"
)

const (
	// Key is a permanent key that opens nothing.
	Key = orga.KeyPrefix + "test0000000000000000000000000000"

	defaultTTL = 2 * time.Minute
	keep       = 4096 // minted tokens remembered
)

// API is the Orga API. The zero API is ready: it accepts every key of the right prefix and speaks the
// documented dialect. Its methods are safe for concurrent use; its fields are set before the first
// request.
type API struct {
	// MintDrift and ICEDrift are the dialect of the answers; a zero one is the documented.
	MintDrift MintDrift
	ICEDrift  ICEDrift
	// TTL is how long a token lives; 0 is two minutes.
	TTL time.Duration
	// Delay comes before each answer and each fault.
	Delay time.Duration
	// UserEmail, if set, is the ?email= that a mint needs, as with older accounts: without one it is a 422,
	// with another a 404 of type not_found_error.
	UserEmail string
	// Intercept, where set, sees each request first; what it returns answers instead of the API, nil
	// lets the API answer.
	Intercept func(call orga.Call, r *http.Request) http.Handler

	mu     sync.Mutex
	keys   []string
	calls  map[orga.Call]int
	next   map[orga.Call][]http.Handler
	always map[orga.Call]http.Handler
	minted []string
	serial uint64
}

// AcceptKeys replaces the permanent keys that are accepted: a rotation. With none, every key of the
// right prefix is.
func (a *API) AcceptKeys(keys ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = slices.Clone(keys)
}

// Fail makes the next calls fail, each with one of the faults, in this order; nil lets one through.
func (a *API) Fail(call orga.Call, faults ...http.Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = map[orga.Call][]http.Handler{}
	}
	a.next[call] = append(a.next[call], faults...)
}

// FailAll makes every call fail that Fail has nothing for; nil ends that.
func (a *API) FailAll(call orga.Call, fault http.Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.always == nil {
		a.always = map[orga.Call]http.Handler{}
	}
	a.always[call] = fault
}

// Calls is how often the call was made, faults and refusals included.
func (a *API) Calls(call orga.Call) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[call]
}

// Tokens are the tokens handed out, oldest first: the last 4096.
func (a *API) Tokens() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.minted)
}

// ServeHTTP is the API.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call orga.Call
	method, serve := http.MethodPost, a.mint
	switch r.URL.Path {
	case "/v1/realtime/client-secrets":
		call = orga.CallMint
	case "/v1/realtime/ice-config":
		call, method, serve = orga.CallICE, http.MethodGet, a.ice
	default:
		refuse(w, http.StatusNotFound, "not_found", "there is no such path")
		return
	}
	fault := a.count(call)
	if a.Intercept != nil {
		if h := a.Intercept(call, r); h != nil {
			fault = h
		}
	}
	if a.Delay > 0 {
		select {
		case <-time.After(a.Delay):
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case fault != nil:
		fault.ServeHTTP(w, r)
	case r.Method != method:
		refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "this call is made with "+method)
	default:
		serve(w, r)
	}
}

// count notes a call and takes the fault that waits for it.
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
	body, err := io.ReadAll(io.LimitReader(r.Body, 1))
	switch key := bearer(r); {
	case !a.accepts(key):
		refuse(w, http.StatusUnauthorized, "invalid_api_key", "the key is not valid")
	case r.Header.Get("Content-Type") != "application/json":
		refuse(w, http.StatusUnsupportedMediaType, "invalid_content_type", "Content-Type must be application/json")
	case err != nil || len(body) > 0:
		refuse(w, http.StatusBadRequest, "invalid_body", "the body must be empty")
	case a.UserEmail != "" && r.URL.Query().Get("email") == "":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"detail":[{"loc":["query","email"],"msg":"field required","type":"value_error.missing"}]}`)
	case a.UserEmail != "" && r.URL.Query().Get("email") != a.UserEmail:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"message":"User not found","type":"not_found_error","param":null,"code":null}}`)
	default:
		ttl := a.TTL
		if ttl == 0 {
			ttl = defaultTTL
		}
		expires := time.Now().Add(ttl)
		drift := a.MintDrift
		if drift.Body == nil {
			drift = MintDrifts[0]
		}
		writeJSON(w, drift.Body(a.issue(expires), expires))
	}
}

func (a *API) ice(w http.ResponseWriter, r *http.Request) {
	token := bearer(r)
	if !valid(token, time.Now()) {
		refuse(w, http.StatusUnauthorized, "invalid_token", "the token is not valid")
		return
	}
	drift := a.ICEDrift
	if drift.Body == nil {
		drift = ICEDrifts[0]
	}
	answer, _ := drift.Body(Credential(token))
	writeJSON(w, answer)
}

func (a *API) accepts(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.keys) == 0 {
		return strings.HasPrefix(key, orga.KeyPrefix)
	}
	return slices.Contains(a.keys, key)
}

// issue makes a token that nobody has had before, and remembers it.
func (a *API) issue(expires time.Time) string {
	a.mu.Lock()
	a.serial++
	serial := a.serial
	a.mu.Unlock()
	token := sign(serial, expires)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.minted) == keep {
		a.minted = slices.Delete(a.minted, 0, keep/4)
	}
	a.minted = append(a.minted, token)
	return token
}

func bearer(r *http.Request) string {
	credential, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return credential
}

func writeJSON(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
}

// refuse answers with an error in Orga's shape.
func refuse(w http.ResponseWriter, status int, code, message string) {
	Status(status, ErrorBody(code, message)).ServeHTTP(w, nil)
}

// ErrorBody is an error in the shape that Orga's documentation gives it.
func ErrorBody(code, message string) string {
	text, _ := json.Marshal(message) // a string always marshals
	return fmt.Sprintf(`{"error":{"message":%s,"type":"invalid_request_error","param":null,"code":%q}}`, text, code)
}
