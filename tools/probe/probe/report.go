package probe

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Status is the result of a check.
type Status string

// Results of a check.
const (
	OK   Status = "ok"
	Warn Status = "warn" // works, but needs attention
	Fail Status = "fail"
	Skip Status = "skip" // does not apply, or was not possible because an earlier check failed
)

// Outcome is the result of a run.
type Outcome string

// Results of a run.
const (
	Works  Outcome = "works"
	Broken Outcome = "broken"
	NotRun Outcome = "not_run"
)

// Report is the result of a run. Its JSON form is stable: members may be added, but existing ones do not change. Checks
// contains every ID of [IDs] at least once, and stun and turn once for each address.
type Report struct {
	URL     string  `json:"url"`
	Origin  string  `json:"origin,omitempty"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // why it could not run
	Checks  []Check `json:"checks"`
	Mints   int     `json:"mints"` // number of tokens minted
	Timing  Timing  `json:"timing"`
}

// Check is the result of one check.
type Check struct {
	ID     string `json:"id"`
	Target string `json:"target,omitempty"` // the address of a STUN or TURN server
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`

	Code      string `json:"code,omitempty"`      // of the endpoint's error
	RequestID string `json:"requestId,omitempty"` // to find the request in the endpoint's log
}

// Timing has the phases of the first request in milliseconds. A phase that did not happen is 0.
type Timing struct {
	DNS       float64            `json:"dns"`
	Connect   float64            `json:"connect"`
	TLS       float64            `json:"tls"`
	FirstByte float64            `json:"firstByte"` // from the end of the request to the first byte of the response
	Total     float64            `json:"total"`
	Server    map[string]float64 `json:"server,omitempty"` // the endpoint's own Server-Timing
}

// IDs returns the IDs of all checks, in the order of a report.
func IDs() []string {
	return []string{
		"reach", "tls", "status", "config", "ice", "headers", "secret", "expiry", "clock", "fresh",
		"cors.preflight", "cors.request", "cors.foreign", "stun", "turn", "time",
	}
}

func (r *Report) ok(id, detail string)   { r.add(Check{ID: id, Status: OK, Detail: detail}) }
func (r *Report) skip(id, detail string) { r.add(Check{ID: id, Status: Skip, Detail: detail}) }
func (r *Report) warn(id, detail, remedy string) {
	r.add(Check{ID: id, Status: Warn, Detail: detail, Remedy: remedy})
}
func (r *Report) fail(id, detail, remedy string) {
	r.add(Check{ID: id, Status: Fail, Detail: detail, Remedy: remedy})
}

// add adds a check without control characters, which could manipulate the terminal: parts of the texts come from the endpoint.
func (r *Report) add(c Check) {
	for _, text := range []*string{&c.Target, &c.Detail, &c.Remedy, &c.Code, &c.RequestID} {
		*text = printable(*text)
	}
	r.Checks = append(r.Checks, c)
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}

// notReached is the detail of a check that an earlier failure made impossible.
const notReached = "needs a check that failed"

// finish sorts the checks, adds those that were not reached, and sets the outcome.
func (r *Report) finish() {
	ids := IDs()
	for _, id := range ids {
		if !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.ID == id }) {
			r.skip(id, notReached)
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

// Count returns the number of checks with status s.
func (r *Report) Count(s Status) (n int) {
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// millis returns d in milliseconds, rounded to a tenth.
func millis(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond).Microseconds()) / 1000
}
