package orgacloud

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/orga-session/orga-session/core/orga/orgatest"
)

// maxOffer bounds the body of a call, in bytes: an offer with video and every candidate is under 20 KiB.
const maxOffer = 256 << 10

// routes are the cloud's paths.
func (c *Cloud) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/realtime/client-secrets", c.faulty(func(k *Knobs) *Fault { return &k.Mint }, c.mint))
	mux.Handle("GET /v1/realtime/ice-config", c.faulty(func(k *Knobs) *Fault { return &k.ICE }, c.ice))
	mux.Handle("POST /v1/realtime/calls", anyOrigin(c.faulty(func(k *Knobs) *Fault { return &k.Call }, c.call)))
	mux.HandleFunc("OPTIONS /v1/realtime/calls", preflight)
	mux.HandleFunc("GET /{$}", c.page)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.Stats()) })
	mux.HandleFunc("GET /knobs", c.getKnobs)
	mux.HandleFunc("POST /knobs", c.postKnobs)
	return mux
}

// faulty puts the fault that is set for a call, and its latency, before what answers it. A call that
// met a fault is refused without being looked at.
func (c *Cloud) faulty(which func(*Knobs) *Fault, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := c.panel.meet(which)
		if fault.LatencyMs > 0 {
			timer := time.NewTimer(time.Duration(fault.LatencyMs) * time.Millisecond)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler) // an empty 200 would be an answer
			}
		}
		if h := fault.answer(); h != nil {
			c.tally.refuse("fault: " + fault.Fault)
			h.ServeHTTP(w, r)
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler)
			}
			return
		}
		next(w, r)
	})
}

func (c *Cloud) mint(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("email") {
		c.tally.mail(r.URL.Query().Get("email"))
	}
	if subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(c.key)) != 1 {
		c.refuse(w, http.StatusUnauthorized, "invalid_api_key", "This is not the permanent key of this cloud.")
		return
	}
	knobs := c.panel.get()
	token, expires, err := c.tokens.mint(knobs.tokenTTL())
	if err != nil {
		c.refuse(w, http.StatusTooManyRequests, "too_many_tokens", "Too many tokens are alive.")
		return
	}
	c.tally.count(&c.tally.minted)
	shape := orgatest.MintDrifts[0]
	for _, drift := range orgatest.MintDrifts {
		if drift.Name == knobs.TokenShape {
			shape = drift
		}
	}
	told := expires.Add(time.Duration(knobs.ClockSkewSeconds) * time.Second)
	orgatest.Status(http.StatusOK, shape.Body(token, told), "Cache-Control", "no-store").ServeHTTP(w, r)
}

func (c *Cloud) ice(w http.ResponseWriter, r *http.Request) {
	token, err := c.tokens.check(r)
	if err != nil {
		c.refuseToken(w, err)
		return
	}
	c.tally.count(&c.tally.iceServed)
	knobs := c.panel.get()
	list := writeICE(c.relay.servers(token, knobs.Relay), knobs.ICEShape)
	orgatest.Status(http.StatusOK, string(list), "Cache-Control", "no-store").ServeHTTP(w, r)
}

func (c *Cloud) call(w http.ResponseWriter, r *http.Request) {
	token, err := c.tokens.spend(r)
	if err != nil {
		c.refuseToken(w, err)
		return
	}
	var in offer
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOffer)).Decode(&in); err != nil {
		c.refuse(w, http.StatusBadRequest, "invalid_offer", "The body is not a JSON object with an offer.")
		return
	}
	out, err := c.board.answer(r.Context(), in, c.panel.get().Silent)
	switch {
	case errors.Is(err, errOffer):
		c.refuse(w, http.StatusUnprocessableEntity, "invalid_offer", err.Error())
	case err != nil:
		c.refuse(w, http.StatusServiceUnavailable, "unavailable", err.Error())
	default:
		c.tally.call(token.id)
		writeJSON(w, out)
	}
}

// refuse answers with an error in Orga's shape.
func (c *Cloud) refuse(w http.ResponseWriter, status int, code, message string) {
	c.tally.refuse(code)
	orgatest.Status(status, orgatest.ErrorBody(code, message)).ServeHTTP(w, nil)
}

func (c *Cloud) refuseToken(w http.ResponseWriter, err error) {
	c.refuse(w, http.StatusUnauthorized, err.Error(), explain[err])
}

// anyOrigin lets pages of every origin read the answer: browsers open the call themselves, and what they
// show is a token, not a cookie.
func anyOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		next.ServeHTTP(w, r)
	})
}

func preflight(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

func (c *Cloud) getKnobs(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, struct {
		Knobs   Knobs   `json:"knobs"`
		Choices Choices `json:"choices"`
	}{c.Knobs(), AllChoices()})
}

// postKnobs replaces the knobs by those of the body; what it leaves out is off. Only JSON is taken: a
// browser sends that to another origin after asking, and is answered no.
func (c *Cloud) postKnobs(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		c.refuse(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "Knobs are set with Content-Type: application/json.")
		return
	}
	var k Knobs
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	in.DisallowUnknownFields()
	err := in.Decode(&k)
	if err == nil {
		err = c.Set(k)
	}
	if err != nil {
		c.refuse(w, http.StatusBadRequest, "invalid_knobs", err.Error())
		return
	}
	c.getKnobs(w, r)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
