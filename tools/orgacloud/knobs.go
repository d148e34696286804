package orgacloud

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// Knobs make a cloud fail or drift. The zero Knobs is a cloud in good health.
type Knobs struct {
	Mint Fault `json:"mint"`
	ICE  Fault `json:"ice"`
	Call Fault `json:"call"`

	// TokenShape is how a mint's answer is written: a name of orgatest.MintDrifts, "" for the documented.
	TokenShape string `json:"tokenShape"`
	// ICEShape is how the ICE call's answer is written: one of Choices.
	ICEShape string `json:"iceShape"`
	// Relay is what is wrong with the STUN and TURN servers that are handed out: one of Choices.
	Relay string `json:"relay"`
	// TokenTTLSeconds is how long a token lives; 0 is two minutes.
	TokenTTLSeconds int `json:"tokenTTLSeconds"`
	// ClockSkewSeconds is how far the cloud's clock is off in the expiry that it tells.
	ClockSkewSeconds int `json:"clockSkewSeconds"`
	// Silent has a call connect and then carry neither sound nor events.
	Silent bool `json:"silent"`
}

// Fault is what is wrong with one of the API's calls.
type Fault struct {
	// Fault is one of Choices; "" answers as it should.
	Fault string `json:"fault"`
	// Times is how many requests meet it, 0 for all until the knobs are set again.
	Times int `json:"times"`
	// LatencyMs comes before each answer, good or bad; 60,000 at most.
	LatencyMs int `json:"latencyMs"`
}

const (
	maxTokenTTL = 24 * time.Hour
	maxLatency  = time.Minute
)

// faults are what can be wrong with a call, beside a plain status.
var faults = []struct {
	name   string
	answer http.Handler
}{
	{"429, try in 1 second", tooMany("1")},
	{"429, try in 20 seconds", tooMany("20")},
	{"a page instead of JSON", orgatest.HTML()},
	{"JSON cut short", orgatest.Truncate()},
	{"JSON without its content", orgatest.Status(http.StatusOK, `{}`)},
	{"100 MB of JSON", orgatest.Flood()},
	{"redirect elsewhere", orgatest.Redirect("http://127.0.0.1:9/elsewhere")},
	{"credential repeated in a 401", orgatest.Repeat(http.StatusUnauthorized)},
	{"connection closed", orgatest.Close()},
	{"connection reset", orgatest.Reset()},
	{"no answer at all", orgatest.Hang()},
}

func tooMany(seconds string) http.Handler {
	return orgatest.Status(http.StatusTooManyRequests,
		orgatest.ErrorBody("rate_limit_exceeded", "Too many sessions."), "Retry-After", seconds)
}

// statuses are the plain ones.
var statuses = map[int]string{
	http.StatusUnauthorized:        orgatest.ErrorBody("invalid_api_key", "The credential is not valid."),
	http.StatusForbidden:           orgatest.ErrorBody("account_disabled", "This account may not open sessions."),
	http.StatusUnprocessableEntity: `{"detail":[{"loc":["query","email"],"msg":"field required","type":"value_error.missing"}]}`,
	http.StatusInternalServerError: `{"detail":"Internal Server Error"}`,
	http.StatusBadGateway:          "<html><body><h1>502 Bad Gateway</h1></body></html>",
	http.StatusServiceUnavailable:  "",
}

// Choices are the names that the knobs take, "" for nothing wrong aside.
type Choices struct {
	Fault      []string `json:"fault"`
	TokenShape []string `json:"tokenShape"`
	ICEShape   []string `json:"iceShape"`
	Relay      []string `json:"relay"`
}

// AllChoices lists them.
func AllChoices() Choices {
	var c Choices
	for status := range statuses {
		c.Fault = append(c.Fault, strconv.Itoa(status))
	}
	slices.Sort(c.Fault)
	for _, f := range faults {
		c.Fault = append(c.Fault, f.name)
	}
	for _, drift := range orgatest.MintDrifts[1:] {
		c.TokenShape = append(c.TokenShape, drift.Name)
	}
	for _, drift := range iceShapes[1:] {
		c.ICEShape = append(c.ICEShape, drift.Name)
	}
	for _, fault := range relayFaults {
		c.Relay = append(c.Relay, fault.name)
	}
	return c
}

// check tells what is wrong with the knobs themselves.
func (k Knobs) check() error {
	c := AllChoices()
	for _, f := range []struct {
		knob, name string
		choices    []string
	}{
		{"mint.fault", k.Mint.Fault, c.Fault}, {"ice.fault", k.ICE.Fault, c.Fault}, {"call.fault", k.Call.Fault, c.Fault},
		{"tokenShape", k.TokenShape, c.TokenShape}, {"iceShape", k.ICEShape, c.ICEShape}, {"relay", k.Relay, c.Relay},
	} {
		if f.name != "" && !slices.Contains(f.choices, f.name) {
			return fmt.Errorf("%s is none of %q", f.knob, f.choices)
		}
	}
	for name, f := range map[string]Fault{"mint": k.Mint, "ice": k.ICE, "call": k.Call} {
		if f.Times < 0 {
			return fmt.Errorf("%s.times is below zero", name)
		}
		if f.LatencyMs < 0 || time.Duration(f.LatencyMs)*time.Millisecond > maxLatency {
			return fmt.Errorf("%s.latencyMs is not between 0 and %d", name, maxLatency.Milliseconds())
		}
	}
	if ttl := time.Duration(k.TokenTTLSeconds) * time.Second; ttl < 0 || ttl > maxTokenTTL {
		return fmt.Errorf("tokenTTLSeconds is not between 0 and %d", int(maxTokenTTL.Seconds()))
	}
	return nil
}

// answer is what a fault answers with, nil for no fault.
func (f Fault) answer() http.Handler {
	if status, err := strconv.Atoi(f.Fault); err == nil {
		return orgatest.Status(status, statuses[status])
	}
	for _, fault := range faults {
		if fault.name == f.Fault {
			return fault.answer
		}
	}
	return nil
}

// panel holds the knobs as they are set, and counts down the faults that meet a number of requests.
type panel struct {
	mu    sync.Mutex
	knobs Knobs
}

func (p *panel) get() Knobs {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.knobs
}

func (p *panel) set(k Knobs) error {
	if err := k.check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.knobs = k
	return nil
}

// meet is the fault that the next request meets, chosen from the knobs by which.
func (p *panel) meet(which func(*Knobs) *Fault) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := which(&p.knobs)
	met := *f
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			f.Fault = ""
		}
	}
	return met
}
