package orgacloud

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/orga"
)

// kept is how many of the last calls and emails are listed.
const kept = 16

// Stats is what a cloud has done so far. It lists token IDs, never tokens.
type Stats struct {
	UptimeSeconds int            `json:"uptimeSeconds"`
	Minted        int            `json:"minted"`
	Alive         int            `json:"alive"` // tokens that could still open a call
	ICEServed     int            `json:"iceServed"`
	Calls         int            `json:"calls"`     // ever opened
	CallsOpen     int            `json:"callsOpen"` // now
	Refused       map[string]int `json:"refused"`   // requests, by the reason
	Relay         RelayStats     `json:"relay"`
	Emails        []string       `json:"emails"`   // the latest that came with mints
	LastUsed      []string       `json:"lastUsed"` // IDs of the tokens of the latest calls
	Knobs         Knobs          `json:"knobs"`    // now
}

// counters collects the counters.
type counters struct {
	mu           sync.Mutex
	calls        int
	faults       map[string]int
	emails, used []string
}

// refuse counts a refused request.
func (t *counters) refuse(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults == nil {
		t.faults = map[string]int{}
	}
	t.faults[reason]++
}

func (t *counters) call(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	t.used = last(t.used, id)
}

func (t *counters) mail(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.emails = last(t.emails, address[:min(len(address), 256)])
}

func last(list []string, s string) []string {
	return append(list[max(0, len(list)+1-kept):], s)
}

// Stats returns the counters.
func (c *Cloud) Stats() Stats {
	c.counts.mu.Lock()
	defer c.counts.mu.Unlock()
	s := Stats{
		UptimeSeconds: int(time.Since(c.started).Seconds()),
		Minted:        c.api.Served(orga.CallMint),
		ICEServed:     c.api.Served(orga.CallICE),
		Calls:         c.counts.calls,
		Refused:       map[string]int{},
		Emails:        append([]string{}, c.counts.emails...),
		LastUsed:      append([]string{}, c.counts.used...),
		Alive:         c.api.Alive(),
		CallsOpen:     c.calls.count(),
		Relay:         c.relay.stats(),
		Knobs:         c.Knobs(),
	}
	maps.Copy(s.Refused, c.api.Refused())
	maps.Copy(s.Refused, c.counts.faults)
	return s
}

//go:embed state.html
var stateHTML string

var statePage = template.Must(template.New("state").Parse(stateHTML))

// page serves the state as HTML, without scripts.
func (c *Cloud) page(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	err := statePage.Execute(&b, struct {
		Stats
		URL string
	}{c.Stats(), c.url})
	if err != nil {
		http.Error(w, "the state page is broken", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Refresh", "3")
	_, _ = b.WriteTo(w) // the client may have disconnected
}
