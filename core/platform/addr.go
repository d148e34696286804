package platform

import (
	"net/http"
	"net/netip"
	"strings"
)

// ForwardedAddr returns the client's address on platforms that append it to X-Forwarded-For (Google Cloud, ALB): the
// right-most entry after skipping hops entries, which the owner's own proxies appended. Entries further left may be
// forged and are ignored. If there are fewer entries, it returns the left-most; if there are none, or the entry is not
// an address, the zero Addr.
func ForwardedAddr(h http.Header, hops int) netip.Addr {
	list := strings.Join(h.Values("X-Forwarded-For"), ",")
	for { // from the right: a list of thousands must not be split
		comma := strings.LastIndexByte(list, ',')
		if comma < 0 || hops <= 0 {
			return ParseAddr(strings.TrimSpace(list[comma+1:]))
		}
		list, hops = list[:comma], hops-1
	}
}

// ForwardedHTTPS reports whether the client used https, on platforms that set X-Forwarded-Proto themselves (Google
// Cloud, ALB, Netlify). A list, or a repeated header, counts as http.
func ForwardedHTTPS(h http.Header) bool {
	proto := h["X-Forwarded-Proto"]
	return len(proto) == 1 && proto[0] == "https"
}

// ParseAddr parses an address with or without a port; it returns the zero Addr if s is neither. An
// IPv4-mapped IPv6 address (::ffff:1.2.3.4) becomes IPv4, and a zone is dropped.
func ParseAddr(s string) netip.Addr {
	withPort, err := netip.ParseAddrPort(s)
	addr := withPort.Addr()
	if err != nil {
		if addr, err = netip.ParseAddr(s); err != nil {
			return netip.Addr{}
		}
	}
	return addr.Unmap().WithZone("")
}
