// Package examples mounts the endpoint in the routers that Go servers use. It lies in the tools module, so
// that what is deployed depends on none of them. docs/use.md shows these functions.
package examples

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/orga-session/orga-session/core"
	"github.com/orga-session/orga-session/core/orga/orgatest"
)

func onServeMux(endpoint http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/orga-client-secrets", endpoint)
	mux.Handle("/api/orga-client-secrets/{tenant}", endpoint)
	return mux
}

func onChi(endpoint http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Handle("/api/orga-client-secrets", endpoint)
	r.Handle("/api/orga-client-secrets/{tenant}", endpoint)
	return r
}

func onGin(endpoint http.Handler) http.Handler {
	r := gin.New()
	r.Any("/api/orga-client-secrets", gin.WrapH(endpoint))
	r.Any("/api/orga-client-secrets/:tenant", gin.WrapH(endpoint))
	return r
}

func onEcho(endpoint http.Handler) http.Handler {
	e := echo.New()
	e.Any("/api/orga-client-secrets", echo.WrapHandler(endpoint))
	e.Any("/api/orga-client-secrets/:tenant", echo.WrapHandler(endpoint))
	return e
}

// Each router leaves the endpoint its answers: a mint, a preflight, a method that is not allowed.
func TestRouters(t *testing.T) {
	gin.SetMode(gin.TestMode)
	settings := map[string]string{
		"ORGA_API_KEY": orgatest.Key, "ORGA_BASE_URL": orgatest.New(t).URL, "ORGA_AUTH": "anonymous",
		"ORGA_CORS_ORIGINS": "https://app.example",
	}
	endpoint := core.New(t.Context(), core.ConfigFromEnv(settings), core.Drivers{})
	if err := endpoint.Faults(); err != nil {
		t.Fatal(err)
	}
	for name, mount := range map[string]func(http.Handler) http.Handler{
		"net/http": onServeMux, "chi": onChi, "gin": onGin, "echo": onEcho,
	} {
		t.Run(name, func(t *testing.T) {
			server := mount(endpoint)
			for _, tt := range []struct {
				method, path string
				status       int
			}{
				{"GET", "/api/orga-client-secrets", 200},
				{"POST", "/api/orga-client-secrets", 200},
				{"GET", "/api/orga-client-secrets/acme", 403},
				{"OPTIONS", "/api/orga-client-secrets", 204},
				{"PUT", "/api/orga-client-secrets", 405},
			} {
				r := httptest.NewRequest(tt.method, tt.path, nil)
				r.Header.Set("Origin", "https://app.example")
				r.Header.Set("Access-Control-Request-Method", "GET")
				w := httptest.NewRecorder()
				server.ServeHTTP(w, r)
				if w.Code != tt.status || w.Header().Get("Access-Control-Allow-Origin") == "" {
					t.Errorf("%s %s: %d, %v", tt.method, tt.path, w.Code, w.Header())
				}
			}
		})
	}
}
