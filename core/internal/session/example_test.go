package session_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/orga-session/orga-session/core/internal/request"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/orga/orgatest"
	"github.com/orga-session/orga-session/core/secret"
)

// A mint route without core's policies: only the outermost layer, a time budget and the handler.
func Example() {
	api := httptest.NewServer(&orgatest.API{})
	defer api.Close()
	env := func(string) (string, bool) { return orgatest.Key, true }
	source, err := secret.Open("env:ORGA_API_KEY", nil, env, secretcache.CheckKey)
	if err != nil {
		fmt.Println(err)
		return
	}

	log := slog.New(slog.DiscardHandler)
	mint := session.Handler(&session.Service{
		Key:  secretcache.New(source, secretcache.Options{Name: "env:ORGA_API_KEY", Log: log}),
		Orga: orga.NewClient("", orga.WithBaseURL(api.URL)),
	})
	h := request.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := session.Budget(r.Context(), 8*time.Second)
		defer cancel()
		mint.ServeHTTP(w, r.WithContext(ctx))
	}), log)

	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets", nil))
	fmt.Println(rec.Code, rec.Header().Get("Cache-Control"))
	// Output: 200 no-store
}
