package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// attempts is how often the endpoint makes one call.
const attempts = 3

// upstream is an Orga API that fails at random, and keeps a ledger of whom it failed.
type upstream struct {
	api     orgatest.API
	ledgers []*ledger
	calls   atomic.Int64
	holders sync.Map // Authorization header with a token → ledger of the client it was minted for
}

func newUpstream(clients int) *upstream {
	u := &upstream{api: orgatest.API{Delay: 5 * time.Millisecond}}
	for range clients {
		u.ledgers = append(u.ledgers, new(ledger))
	}
	return u
}

func tenant(i int) string { return fmt.Sprintf("client-%d", i) }

// key is the permanent key of client i.
func key(i int) string { return fmt.Sprintf("%stest-soak-%d", orga.KeyPrefix, i) }

// settings are an endpoint's whose tenants are the clients.
func (u *upstream) settings(base string) core.Env {
	tenants := map[string]any{}
	vars := core.Env{
		"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": base, "ORGA_AUTH": "anonymous",
		"ORGA_RATE_LIMIT": "off", "ORGA_TENANTS_SOURCE": "env:TENANTS",
	}
	for i := range u.ledgers {
		name := fmt.Sprintf("ORGA_API_KEY_%d", i)
		vars[name] = key(i)
		tenants[tenant(i)] = map[string]string{"apiKeySource": "env:" + name}
	}
	list, _ := json.Marshal(map[string]any{"tenants": tenants}) // strings always marshal
	vars["TENANTS"] = string(list)
	return vars
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.calls.Add(1)
	call, l := orga.CallICE, u.client(r)
	if r.Method == http.MethodPost {
		call = orga.CallMint
	}
	for _, f := range []struct {
		name    string
		percent int
		handler http.Handler
	}{
		{"reset", 5, orgatest.Reset()},
		{"503", 5, orgatest.Status(http.StatusServiceUnavailable, "")},
		{"hang", 2, orgatest.Hang()},
	} {
		if rand.N(100) < f.percent {
			l.note(string(call) + " " + f.name)
			f.handler.ServeHTTP(w, r)
			return
		}
	}
	rec := httptest.NewRecorder()
	u.api.ServeHTTP(rec, r)
	var minted struct {
		Token string `json:"ephemeral_token"`
	}
	if call == orga.CallMint && json.Unmarshal(rec.Body.Bytes(), &minted) == nil {
		u.holders.Store("Bearer "+minted.Token, l)
	}
	if call == orga.CallICE {
		u.holders.Delete(r.Header.Get("Authorization"))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// client finds whose call it is: by the key, or by whom the token was minted for.
func (u *upstream) client(r *http.Request) *ledger {
	credential := r.Header.Get("Authorization")
	if l, ok := u.holders.Load(credential); ok {
		return l.(*ledger)
	}
	for i, l := range u.ledgers {
		if credential == "Bearer "+key(i) {
			return l
		}
	}
	return new(ledger)
}

// ledger is what the one request that a client has under way has met.
type ledger struct {
	mu  sync.Mutex
	met met
}

func (l *ledger) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.met = met{}
}

func (l *ledger) note(fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.met.all = append(l.met.all, fault)
}

func (l *ledger) close() met {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.met
}

// met are the faults that one request's calls have met.
type met struct{ all []string }

// hopeless tells whether no endpoint could have answered: a call failed at each of its attempts, or
// the calls that never answered have used up the time. A cut of the connections may have failed a
// call of either kind.
func (m met) hopeless() bool {
	var mint, ice, hangs, cuts int
	for _, fault := range m.all {
		call, kind, _ := strings.Cut(fault, " ")
		switch {
		case call == "cut":
			cuts++
		case call == string(orga.CallMint):
			mint++
		default:
			ice++
		}
		if kind == "hang" {
			hangs++
		}
	}
	return mint+cuts >= attempts || ice+cuts >= attempts || hangs >= attempts
}
