package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/tools/fakeorga"
)

// attempts is how often the endpoint makes one call.
const attempts = 3

func tenant(i int) string { return fmt.Sprintf("client-%d", i) }

// key is the permanent key of client i.
func key(i int) string { return fakeorga.KeyPrefix + tenant(i) }

// settings configure an endpoint with one tenant for each client, so that Orga can tell the clients apart by key.
func settings(base string, clients int) core.Env {
	tenants := map[string]any{}
	vars := core.Env{
		"ORGA_API_KEY": fakeorga.Key, "ORGA_BASE_URL": base, "ORGA_AUTH": "anonymous",
		"ORGA_RATE_LIMIT": "off", "ORGA_TENANTS_SOURCE": "env:TENANTS",
	}
	for i := range clients {
		name := fmt.Sprintf("ORGA_API_KEY_%d", i)
		vars[name] = key(i)
		tenants[tenant(i)] = map[string]string{"apiKeySource": "env:" + name}
	}
	list, _ := json.Marshal(map[string]any{"tenants": tenants}) // strings always marshal
	vars["TENANTS"] = string(list)
	return vars
}

// faultLogs record the faults of each client's calls, by its key.
type faultLogs map[string]*faultLog

func newFaultLogs(clients int) faultLogs {
	all := make(faultLogs)
	for i := range clients {
		all[key(i)] = new(faultLog)
	}
	return all
}

// fault fails 12 % of the calls at random.
func (l faultLogs) fault(call fakeorga.Call) fakeorga.Fault {
	name, fault := "", fakeorga.None
	switch n := rand.N(100); {
	case n < 5:
		name, fault = "reset", fakeorga.Reset
	case n < 10:
		name, fault = "503", fakeorga.Unavailable
	case n < 12:
		name, fault = "hang", fakeorga.Hang
	}
	if client := l[call.Key]; client != nil && fault != fakeorga.None {
		client.add(map[bool]string{true: "mint ", false: "ice "}[call.Mint] + name)
	}
	return fault
}

// faultLog records the faults of a client's current request.
type faultLog struct {
	mu     sync.Mutex
	faults faults
}

func (l *faultLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = nil
}

func (l *faultLog) add(fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fault)
}

func (l *faultLog) list() faults {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults
}

// faults lists the faults of one request's calls, such as "mint 503", "ice hang" or "cut".
type faults []string

// unanswerable reports whether no endpoint could have answered: every attempt of a call failed, or hung calls used up
// the time. A cut of all connections may have failed either call.
func (f faults) unanswerable() bool {
	count := make(map[string]int)
	for _, fault := range f {
		call, kind, _ := strings.Cut(fault, " ")
		count[call]++
		count[kind]++
	}
	return count["mint"]+count["cut"] >= attempts || count["ice"]+count["cut"] >= attempts || count["hang"] >= attempts
}
