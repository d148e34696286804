package probe

import (
	"cmp"
	"slices"
	"time"
)

// Status is what came of a check.
type Status string

// What can come of a check.
const (
	OK   Status = "ok"
	Warn Status = "warn" // works, but somebody should know
	Fail Status = "fail"
	Skip Status = "skip" // could not be checked, as something before it failed, or did not apply
)

// Outcome is what came of a run.
type Outcome string

// What can come of a run.
const (
	Works  Outcome = "works"
	Broken Outcome = "broken"
	NotRun Outcome = "not_run"
)

// Report is what a run found. Its JSON form is stable: members may be added, none change or go. Every
// id of IDs occurs at least once in Checks, stun and turn once for each address.
type Report struct {
	URL     string  `json:"url"`
	Origin  string  `json:"origin,omitempty"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // why it could not run
	Checks  []Check `json:"checks"`
	Mints   int     `json:"mints"` // tokens that the run has cost
	Timing  Timing  `json:"timing"`
}

// Check is one thing that was looked at.
type Check struct {
	ID     string `json:"id"`
	Target string `json:"target,omitempty"` // the address of a STUN or TURN server
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`

	Code      string `json:"code,omitempty"`      // of the problem that the endpoint answered
	RequestID string `json:"requestId,omitempty"` // to find the answer in the endpoint's log
}

// Timing is where the time of the first request went, in milliseconds. A phase that did not happen is 0.
type Timing struct {
	DNS       float64            `json:"dns"`
	Connect   float64            `json:"connect"`
	TLS       float64            `json:"tls"`
	FirstByte float64            `json:"firstByte"` // from the request's being out to the answer's first byte
	Total     float64            `json:"total"`
	Server    map[string]float64 `json:"server,omitempty"` // the endpoint's own Server-Timing
}

// IDs are the checks, in the order of a report.
func IDs() []string {
	return []string{
		"reach", "tls", "status", "config", "ice", "headers", "secret", "expiry", "clock", "fresh",
		"cors.preflight", "cors.request", "cors.foreign", "stun", "turn", "time",
	}
}

func (r *Report) ok(id, detail string)           { r.add(Check{ID: id, Status: OK, Detail: detail}) }
func (r *Report) skip(id, detail string)         { r.add(Check{ID: id, Status: Skip, Detail: detail}) }
func (r *Report) warn(id, detail, remedy string) { r.judge(Warn, id, detail, remedy) }
func (r *Report) fail(id, detail, remedy string) { r.judge(Fail, id, detail, remedy) }
func (r *Report) add(c Check)                    { r.Checks = append(r.Checks, c) }

func (r *Report) judge(s Status, id, detail, remedy string) {
	r.add(Check{ID: id, Status: s, Detail: detail, Remedy: remedy})
}

// unreached marks a check that something before it made impossible.
const unreached = "needs a check that failed"

// finish brings the checks into their order, notes those that were not reached, and draws the sum.
func (r *Report) finish() {
	ids := IDs()
	for _, id := range ids {
		if !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.ID == id }) {
			r.skip(id, unreached)
		}
	}
	slices.SortStableFunc(r.Checks, func(a, b Check) int {
		return cmp.Compare(slices.Index(ids, a.ID), slices.Index(ids, b.ID))
	})
	switch {
	case r.Reason != "":
		r.Outcome = NotRun
	case r.Count(Fail) > 0:
		r.Outcome = Broken
	default:
		r.Outcome = Works
	}
}

// Count is how many checks came out as s.
func (r *Report) Count(s Status) (n int) {
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// millis is d in milliseconds, to a tenth.
func millis(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond).Microseconds()) / 1000
}
