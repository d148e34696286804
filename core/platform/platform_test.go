package platform_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/orga-session/orga-session/core/platform"
)

// fault 30: nothing that a client writes to the left of the platform's own entry is looked at.
func TestForwardedAddr(t *testing.T) {
	for _, row := range []struct {
		headers []string
		hops    int
		want    string // "" for no address
	}{
		{nil, 0, ""},
		{[]string{""}, 0, ""},
		{[]string{"192.0.2.1"}, 0, "192.0.2.1"},
		{[]string{"198.51.100.7, 192.0.2.1"}, 0, "192.0.2.1"},
		{[]string{"198.51.100.7", "192.0.2.1"}, 0, "192.0.2.1"},
		{[]string{"198.51.100.7,192.0.2.1", "203.0.113.5"}, 1, "192.0.2.1"},
		{[]string{"198.51.100.7,192.0.2.1,203.0.113.5"}, 2, "198.51.100.7"},
		{[]string{"192.0.2.1"}, 3, "192.0.2.1"},
		{[]string{"198.51.100.7, 192.0.2.1"}, -1, "192.0.2.1"},
		{[]string{"198.51.100.7, unknown"}, 0, ""},
		{[]string{"198.51.100.7, "}, 0, ""},
		{[]string{"192.0.2.1:4711"}, 0, "192.0.2.1"},
		{[]string{"2001:db8::1"}, 0, "2001:db8::1"},
		{[]string{"[2001:db8::1]:4711"}, 0, "2001:db8::1"},
		{[]string{"::ffff:192.0.2.1"}, 0, "192.0.2.1"}, // fault 31
		{[]string{"fe80::1%eth0"}, 0, "fe80::1"},
	} {
		var want netip.Addr
		if row.want != "" {
			want = netip.MustParseAddr(row.want)
		}
		if got := platform.ForwardedAddr(http.Header{"X-Forwarded-For": row.headers}, row.hops); got != want {
			t.Errorf("%q, %d hops: %v, want %v", row.headers, row.hops, got, want)
		}
	}
}

func TestInfoInContext(t *testing.T) {
	if got := platform.From(t.Context()); got != (platform.Info{}) {
		t.Errorf("a context without one has %+v", got)
	}
	if got := platform.From(platform.With(t.Context(), platform.Info{RequestID: "id"})); got.RequestID != "id" {
		t.Errorf("%+v", got)
	}
}
