package orgacloud

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/orga"
)

// kept is how many of the last calls and emails are shown.
const kept = 16

// Stats is what a cloud has done so far. It has no token in it: tokens go by their id, which opens
// nothing.
type Stats struct {
	UptimeSeconds int            `json:"uptimeSeconds"`
	Minted        int            `json:"minted"`
	Alive         int            `json:"alive"` // tokens that could still open a call
	ICEServed     int            `json:"iceServed"`
	Calls         int            `json:"calls"`     // ever opened
	CallsOpen     int            `json:"callsOpen"` // now
	Refused       map[string]int `json:"refused"`   // requests, by the reason
	Relay         RelayStats     `json:"relay"`
	Emails        []string       `json:"emails"`   // the last that came with a mint
	LastUsed      []string       `json:"lastUsed"` // ids of the tokens that opened the last calls
}

// tally counts.
type tally struct {
	mu           sync.Mutex
	calls        int
	faults       map[string]int
	emails, used []string
}

// refuse counts a fault that was met.
func (t *tally) refuse(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults == nil {
		t.faults = map[string]int{}
	}
	t.faults[reason]++
}

func (t *tally) call(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	t.used = last(t.used, id)
}

func (t *tally) mail(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.emails = last(t.emails, address[:min(len(address), 256)])
}

func last(list []string, s string) []string {
	return append(list[max(0, len(list)+1-kept):], s)
}

// Stats says what happened so far.
func (c *Cloud) Stats() Stats {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	s := Stats{
		UptimeSeconds: int(time.Since(c.started).Seconds()),
		Minted:        c.api.Served(orga.CallMint),
		ICEServed:     c.api.Served(orga.CallICE),
		Calls:         c.tally.calls,
		Refused:       map[string]int{},
		Emails:        append([]string{}, c.tally.emails...),
		LastUsed:      append([]string{}, c.tally.used...),
		Alive:         c.api.Alive(),
		CallsOpen:     c.board.count(),
		Relay:         c.relay.stats(),
	}
	maps.Copy(s.Refused, c.api.Refused())
	maps.Copy(s.Refused, c.tally.faults)
	return s
}

//go:embed state.html
var stateHTML string

var statePage = template.Must(template.New("state").Parse(stateHTML))

// page shows the state to a person, without a script.
func (c *Cloud) page(w http.ResponseWriter, _ *http.Request) {
	stats := c.Stats()
	var b bytes.Buffer
	err := statePage.Execute(&b, struct {
		Stats   Stats
		Reasons []string
		Knobs   Knobs
		URL     string
	}{stats, slices.Sorted(maps.Keys(stats.Refused)), c.Knobs(), c.url})
	if err != nil {
		http.Error(w, "the state page is broken", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Refresh", "3")
	_, _ = b.WriteTo(w) // the client may be gone
}
