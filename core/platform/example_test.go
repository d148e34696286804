package platform_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/orga-session/orga-session/core/platform"
)

// An adapter for a platform whose front end appends the client's address to X-Forwarded-For, writes
// X-Forwarded-Proto, and adds its own request ID.
func Example() {
	endpoint := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { // in a real adapter: core's
		info := platform.From(r.Context())
		fmt.Println(r.RemoteAddr, info.HTTPS, info.RequestID)
	})
	adapter := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(platform.With(r.Context(), platform.Info{
			RequestID: r.Header.Get("X-Platform-Request-Id"),
			HTTPS:     platform.ForwardedHTTPS(r.Header),
		}))
		r.RemoteAddr = "" // the front end's
		if addr := platform.ForwardedAddr(r.Header, 0); addr.IsValid() {
			r.RemoteAddr = netip.AddrPortFrom(addr, 0).String()
		}
		endpoint.ServeHTTP(w, r)
	})

	r := httptest.NewRequest(http.MethodGet, "/api/orga-client-secrets", nil)
	r.Header.Set("X-Forwarded-For", "203.0.113.9, 192.0.2.1") // the first of them is made up
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Platform-Request-Id", "7")
	adapter.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// 192.0.2.1:0 true 7
}
