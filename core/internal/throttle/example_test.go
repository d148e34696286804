package throttle_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/orga-session/orga-session/core/internal/throttle"
	"github.com/orga-session/orga-session/core/ratelimit"
)

// Each caller may mint twice a minute, and all callers of the tenant together three times a day.
func Example() {
	caller, _ := ratelimit.ParseQuotas("2/1m")
	limit := throttle.Middleware(throttle.Options{
		Limiter: throttle.NewMemory(),
		Tenant:  "acme",
		Caller:  caller,
		Budget:  ratelimit.Quotas{{N: 3, Per: 24 * time.Hour}},
	})
	mint := limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))

	for range 3 {
		w := httptest.NewRecorder()
		mint.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Retry-After"))
	}
	fmt.Println(caller[0])
	// Output:
	// 200 ""
	// 200 ""
	// 429 "30"
	// 2/1m0s
}
