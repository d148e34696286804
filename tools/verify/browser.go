package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"

	"github.com/orga-session/orga-session/core/orga/orgatest"
)

//go:embed page.html
var page string

// mintsOfPage is how many tokens the page gets from an endpoint; its other attempts must mint nothing.
const mintsOfPage = 3

// checkInBrowser opens a page in Chromium that calls every endpoint across origins, as Orga's clients do, and makes
// requests that must be refused.
func (s *suite) checkInBrowser(ctx context.Context, list []*endpoint) {
	if s.chromium == "" {
		return
	}
	addresses := make(map[string]string)
	before := make(map[*orgatest.API]int)
	expected := make(map[*orgatest.API]int)
	for _, e := range list {
		proxy := &httputil.ReverseProxy{Transport: e.transport, Rewrite: func(*httputil.ProxyRequest) {}, ErrorLog: log.New(io.Discard, "", 0)}
		server := httptest.NewServer(proxy)
		defer server.Close()
		addresses[e.name] = server.URL
		before[e.orga] = len(e.orga.Tokens())
		expected[e.orga] += mintsOfPage
	}
	results := make(chan map[string][]string, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		endpoints, _ := json.Marshal(addresses) // strings always marshal
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, strings.ReplaceAll(page, "ENDPOINTS", string(endpoints)))
	})
	mux.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
		var faults map[string][]string
		if err := json.NewDecoder(r.Body).Decode(&faults); err == nil {
			select {
			case results <- faults:
			default: // the first result counts
			}
		}
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(s.fixtures.page) }() // returns after Close
	defer server.Close()

	var faults map[string][]string
	args := []string{"--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--user-data-dir=" + filepath.Join(s.scratch, "chromium")}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium's sandbox does not work for root
	}
	p, err := s.start(ctx, func(context.Context) bool {
		select {
		case faults = <-results:
			return true
		default:
			return false
		}
	}, s.scratch, nil, s.chromium, append(args, s.fixtures.origin+"/")...)
	if err == nil {
		p.Stop()
	}
	for _, e := range list {
		s.table.check(e.name, client, "a page in Chromium: plain, with and without preflight, from an unlisted origin", func() error {
			if err != nil {
				return err
			}
			said, ok := faults[e.name]
			if !ok {
				return errors.New("the page did not get there")
			}
			var list []error
			for _, f := range said {
				list = append(list, errors.New(f))
			}
			if got := len(e.orga.Tokens()) - before[e.orga]; got != expected[e.orga] {
				list = append(list, fmt.Errorf("%d tokens were minted behind it, not %d", got, expected[e.orga]))
			}
			return errors.Join(list...)
		})
	}
}
