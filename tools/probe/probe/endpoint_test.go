package probe

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// page is the origin that the test endpoint lists.
const page = "https://app.example"

// endpoint is a session endpoint without faults; tests change one thing.
type endpoint struct {
	*httptest.Server
	turn  *turnServer
	mints atomic.Int32

	origins []string
	// config may change the session config; n counts mints from 1.
	config func(c map[string]any, n int)
	// before may answer instead of the endpoint, and reports whether it did.
	before func(w http.ResponseWriter, r *http.Request) bool
	// after may change the response's headers.
	after func(h http.Header)
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{origins: []string{page}}
	e.Server = httptest.NewUnstartedServer(e)
	e.Config.ErrorLog = discard
	e.StartTLS()
	t.Cleanup(e.Close)
	e.turn = newTURNServer(t, e.TLS)
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("CDN-Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Vary", "Origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Request-Id", "request-1")
	origin := r.Header.Get("Origin")
	listed := slices.Contains(e.origins, origin)
	if listed {
		h.Set(allowOrigin, origin)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id")
	}
	if e.after != nil {
		e.after(h)
	}
	switch {
	case e.before != nil && e.before(w, r):
	case r.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case origin != "" && !listed:
		refuse(w, http.StatusForbidden, "forbidden")
	default:
		n := int(e.mints.Add(1))
		c := map[string]any{
			"ephemeralToken": token(n, 2*time.Minute), "iceServers": e.turn.iceServers(),
			"expiresIn": 120, "expiresAt": time.Now().Add(2 * time.Minute).UTC().Format(time.RFC3339),
		}
		if e.config != nil {
			e.config(c, n)
		}
		h.Set("Content-Type", "application/json")
		h.Add("Server-Timing", "secret;dur=0.1, token;dur=20.5, ice;dur=10.0")
		_ = json.NewEncoder(w).Encode(c)
	}
}

// refuse answers with an error body of the endpoint.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"status":%d,"code":%q,"requestId":"request-1"}`, status, code)
}

// token has the form of a JWT with an exp.
func token(n int, life time.Duration) string {
	claims := fmt.Sprintf(`{"exp":%d,"jti":"secret-token-%d"}`, time.Now().Add(life).Unix(), n)
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2lnbmF0dXJl"
}

// probe runs the probe against e with a short timeout.
func (e *endpoint) probe(t *testing.T, o Options) Report {
	t.Helper()
	if o.URL == "" {
		o.URL = e.URL
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	o.RootCAs = e.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return Run(t.Context(), o)
}

// problems lists the checks of a report with status s, each as "id" or "id scheme".
func problems(r Report, s Status) []string {
	var out []string
	for _, c := range r.Checks {
		if c.Status != s {
			continue
		}
		name := c.ID
		if u, err := url.Parse(c.Target); c.Target != "" && err == nil {
			name += " " + u.Scheme + " " + u.Query().Get("transport")
		}
		out = append(out, strings.TrimSpace(name))
	}
	return out
}

// answers returns a before that gives one response to everything except preflights.
func answers(status int, contentType, body string, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodOptions {
			return false
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
}
