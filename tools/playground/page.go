package main

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"net/url"

	"github.com/orga-session/orga-session/tools/orgacloud"
	"github.com/orga-session/orga-session/tools/remedy"
)

//go:embed static
var static embed.FS

// playground serves the page, its data, and the endpoint on the same origin.
type playground struct {
	endpoint http.Handler
	auth     []string         // the methods of ORGA_AUTH
	orga     string           // the base URL of Orga, local or real
	hmacKey  string           // made for ORGA_AUTH=hmac; "" if the settings name another one
	cloud    *orgacloud.Cloud // nil with the real Orga
}

// handler returns the handler for a server at addr.
func (p *playground) handler(addr string) (http.Handler, error) {
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, err
	}
	own := http.NewServeMux()
	own.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "index.html") })
	own.HandleFunc("GET /static/{file}", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, r.PathValue("file")) })
	own.HandleFunc("GET /static/remedies.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(remedy.Module)
	})
	own.HandleFunc("GET /playground/settings", p.settings)
	if p.cloud != nil {
		cloud := http.StripPrefix("/playground", p.cloud)
		own.Handle("GET /playground/stats", cloud)
		own.Handle("POST /playground/knobs", cloud)
	}
	page := p.pageHeaders(http.NewCrossOriginProtection().Handler(own))

	mux := http.NewServeMux()
	mux.Handle("/{$}", page)
	mux.Handle("/static/", page)
	mux.Handle("/playground/", page)
	mux.Handle("/", p.endpoint)
	return localHosts(addr, mux), nil
}

// pageHeaders adds a content security policy that allows only the page's own files and requests to Orga.
func (p *playground) pageHeaders(next http.Handler) http.Handler {
	talk := "'self'"
	if u, err := url.Parse(p.orga); err == nil && u.Host != "" {
		talk += " " + u.Scheme + "://" + u.Host
	}
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob: mediastream:; " +
		"connect-src " + talk + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// localHosts refuses requests for any host but this machine. Otherwise a web page whose name resolves to 127.0.0.1
// (DNS rebinding) would count as the endpoint's own origin.
func localHosts(addr string, next http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(addr)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != addr && r.Host != net.JoinHostPort("localhost", port) {
			http.Error(w, "The playground serves 127.0.0.1 and localhost only.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (p *playground) settings(w http.ResponseWriter, _ *http.Request) {
	s := struct {
		Endpoint string             `json:"endpoint"`
		Auth     []string           `json:"auth"`
		Orga     string             `json:"orga"`
		Local    bool               `json:"local"`
		Choices  *orgacloud.Choices `json:"choices,omitempty"`
		Knobs    *orgacloud.Knobs   `json:"knobs,omitempty"`
	}{Endpoint: endpoint, Auth: p.auth, Orga: p.orga, Local: p.cloud != nil}
	if p.cloud != nil {
		s.Choices, s.Knobs = new(orgacloud.AllChoices()), new(p.cloud.Knobs())
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s) // the client may be gone
}
