// Package examples mounts the endpoint in popular routers. It is in the tools module, so that the deployed module does not
// depend on them. docs/go.md shows these functions.
package examples

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
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

func onFiber(endpoint http.Handler) *fiber.App {
	app := fiber.New()
	handler := adaptor.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		endpoint.ServeHTTP(w, r.WithContext(context.Background())) // fiber reuses its contexts for other requests
	}))
	app.All("/api/orga-client-secrets", handler)
	app.All("/api/orga-client-secrets/:tenant", handler)
	return app
}

// served returns a fiber app's answer; fiber has its own server.
type served struct{ *fiber.App }

func (s served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp, err := s.Test(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// Each router passes on the endpoint's answers: to a mint, a preflight and a method that is not allowed.
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
		"fiber": func(endpoint http.Handler) http.Handler { return served{onFiber(endpoint)} },
	} {
		t.Run(name, func(t *testing.T) {
			server := mount(endpoint)
			for _, tt := range []struct {
				method, path string
				status       int
			}{
				{"GET", "/api/orga-client-secrets", 200},
				{"POST", "/api/orga-client-secrets", 200},
				{"PUT", "/api/orga-client-secrets/acme", 405},
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
