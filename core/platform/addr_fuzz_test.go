package platform_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/platform"
)

// Whatever a client writes to the left of what the platform appends, the address is the platform's
// (faults 30 and 31).
func FuzzForwardedAddr(f *testing.F) {
	for _, seed := range []string{
		"", ",", "1.2.3.4", "1.2.3.4, 5.6.7.8", "::ffff:1.2.3.4", "[2001:db8::1]:443", "fe80::1%eth0", "for=1.2.3.4", strings.Repeat(",", 1000), "1.2.3.4\r\nX: y",
	} {
		f.Add(seed, "192.0.2.1", 0)
		f.Add(seed, "2001:db8::1", 1)
	}
	f.Fuzz(func(t *testing.T, forged, appended string, hops int) {
		addr := platform.ForwardedAddr(http.Header{"X-Forwarded-For": {forged}}, hops)
		if addr.IsValid() && (addr.Is4In6() || addr.Zone() != "") {
			t.Errorf("%q comes out as %v, which another spelling has in another bucket", forged, addr)
		}

		edge, err := netip.ParseAddr(appended)
		if err != nil || edge.Zone() != "" || hops < 0 || hops > 16 {
			return
		}
		want := edge.Unmap().WithZone("")
		proxies := strings.Repeat(", 198.51.100.1", hops)
		for _, h := range []http.Header{
			{"X-Forwarded-For": {forged + ", " + appended + proxies}},
			{"X-Forwarded-For": {forged, appended + proxies}},
		} {
			if got := platform.ForwardedAddr(h, hops); got != want {
				t.Errorf("forged %q, appended %q, %d hops: %v, want %v", forged, appended, hops, got, want)
			}
		}
	})
}
