package orgacloud

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/orga-session/orga-session/core/orga"
)

// maxOffer bounds the body of a call, in bytes. An offer with video and all candidates is under 20 KiB.
const maxOffer = 256 << 10

// routes serves the cloud's paths.
func (c *Cloud) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/realtime/", c.api)
	mux.Handle("POST /v1/realtime/calls", anyOrigin(http.HandlerFunc(c.call)))
	mux.HandleFunc("OPTIONS /v1/realtime/calls", preflight)
	mux.HandleFunc("GET /{$}", c.page)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.Stats()) })
	mux.HandleFunc("GET /knobs", c.getKnobs)
	mux.HandleFunc("POST /knobs", c.postKnobs)
	return mux
}

// intercept handles faults of mints and ICE calls before the API sees them.
func (c *Cloud) intercept(call orga.Call, r *http.Request) http.Handler {
	if call == orga.CallICE {
		return c.fault(r, func(k *Knobs) *Fault { return &k.ICE })
	}
	if r.URL.Query().Has("email") {
		c.counts.mail(r.URL.Query().Get("email"))
	}
	return c.fault(r, func(k *Knobs) *Fault { return &k.Mint })
}

// fault waits for the latency set for a call, then returns its fault, nil if there is none. A call with a fault
// is not validated.
func (c *Cloud) fault(r *http.Request, which func(*Knobs) *Fault) http.Handler {
	fault := c.knobs.next(which)
	if fault.LatencyMs > 0 {
		timer := time.NewTimer(time.Duration(fault.LatencyMs) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // an empty 200 would count as an answer
		}
	}
	h := fault.answer()
	if h == nil {
		return nil
	}
	c.counts.refuse("fault: " + fault.Fault)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
	})
}

func (c *Cloud) call(w http.ResponseWriter, r *http.Request) {
	if h := c.fault(r, func(k *Knobs) *Fault { return &k.Call }); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	token, ok := c.api.Use(w, r)
	if !ok {
		return
	}
	var in offer
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOffer)).Decode(&in); err != nil {
		c.api.Refuse(w, http.StatusBadRequest, "invalid_offer", "The body is not a JSON object with an offer.")
		return
	}
	out, err := c.calls.answer(r.Context(), in, c.knobs.get().Silent)
	switch {
	case errors.Is(err, errOffer):
		c.api.Refuse(w, http.StatusUnprocessableEntity, "invalid_offer", err.Error())
	case err != nil:
		c.api.Refuse(w, http.StatusServiceUnavailable, "unavailable", err.Error())
	default:
		c.counts.call(token.ID)
		writeJSON(w, out)
	}
}

// anyOrigin lets pages of all origins read the answer: browsers open calls directly, authorized by a token and not
// by a cookie.
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

// postKnobs replaces the knobs with those of the body; omitted ones are reset. It accepts only JSON, which a browser
// sends to another origin only after a preflight, and that is refused.
func (c *Cloud) postKnobs(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		c.api.Refuse(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "Knobs are set with Content-Type: application/json.")
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
		c.api.Refuse(w, http.StatusBadRequest, "invalid_knobs", err.Error())
		return
	}
	c.getKnobs(w, r)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // the client may have disconnected
}
