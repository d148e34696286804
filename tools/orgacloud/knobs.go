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

// Knobs are simulated faults. The zero value has none.
type Knobs struct {
	Mint Fault `json:"mint"`
	ICE  Fault `json:"ice"`
	Call Fault `json:"call"`

	// TokenShape is the form of a mint's answer: a name of orgatest.MintDrifts, or "" for the documented one.
	TokenShape string `json:"tokenShape"`
	// ICEShape is the form of the ICE call's answer: one of Choices.
	ICEShape string `json:"iceShape"`
	// Relay is the fault of the STUN and TURN servers: one of Choices.
	Relay string `json:"relay"`
	// TokenTTLSeconds is the lifetime of tokens; 0 means two minutes.
	TokenTTLSeconds int `json:"tokenTTLSeconds"`
	// ClockSkewSeconds is added to every expiry.
	ClockSkewSeconds int `json:"clockSkewSeconds"`
	// Silent makes calls connect without sending audio or events.
	Silent bool `json:"silent"`
}

// Fault is a simulated fault of one of the API's calls.
type Fault struct {
	// Fault is one of Choices; "" for none.
	Fault string `json:"fault"`
	// Times is how many requests fail; 0 means all, until the knobs are set again.
	Times int `json:"times"`
	// LatencyMs delays each answer, by 60,000 at most.
	LatencyMs int `json:"latencyMs"`
}

const (
	maxTokenTTL = 24 * time.Hour
	maxLatency  = time.Minute
)

// faults are the faults of a call, except plain statuses.
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

// statuses are the bodies of plain error statuses.
var statuses = map[int]string{
	http.StatusUnauthorized:        orgatest.ErrorBody("invalid_api_key", "The credential is not valid."),
	http.StatusForbidden:           orgatest.ErrorBody("account_disabled", "This account may not open sessions."),
	http.StatusUnprocessableEntity: `{"detail":[{"loc":["query","email"],"msg":"field required","type":"value_error.missing"}]}`,
	http.StatusInternalServerError: `{"detail":"Internal Server Error"}`,
	http.StatusBadGateway:          "<html><body><h1>502 Bad Gateway</h1></body></html>",
	http.StatusServiceUnavailable:  "",
}

// Choices lists the values that the knobs take, besides "" for none.
type Choices struct {
	Fault      []string `json:"fault"`
	TokenShape []string `json:"tokenShape"`
	ICEShape   []string `json:"iceShape"`
	Relay      []string `json:"relay"`
}

// AllChoices returns the valid values.
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

// check returns why the knobs are invalid.
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

// answer returns the answer of a fault; nil for none.
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

// knobState holds the current knobs, and counts down faults with a number of requests.
type knobState struct {
	mu    sync.Mutex
	knobs Knobs
}

func (s *knobState) get() Knobs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knobs
}

func (s *knobState) set(k Knobs) error {
	if err := k.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs = k
	return nil
}

// next returns the fault of the next request, of the call that which selects.
func (s *knobState) next(which func(*Knobs) *Fault) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := which(&s.knobs)
	now := *f
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			f.Fault = ""
		}
	}
	return now
}
