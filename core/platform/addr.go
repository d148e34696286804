package platform

import (
	"net/http"
	"net/netip"
	"strings"
)

// ForwardedAddr is the client's address where the platform appends it to X-Forwarded-For (Google
// Cloud, ALB): the right-most entry, after hops entries that the owner's own proxies appended have
// been skipped. Everything to the left of it was written by the client and is never looked at. With
// fewer entries than that, it is the left-most; with none, or one that is no address, the zero Addr.
func ForwardedAddr(h http.Header, hops int) netip.Addr {
	entries := strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	return ParseAddr(strings.TrimSpace(entries[max(0, len(entries)-1-max(0, hops))]))
}

// ForwardedHTTPS reports whether the client used https, where the platform writes X-Forwarded-Proto itself
// (Google Cloud, ALB, Netlify). A list, or a repeated header, counts as http.
func ForwardedHTTPS(h http.Header) bool {
	proto := h["X-Forwarded-Proto"]
	return len(proto) == 1 && proto[0] == "https"
}

// ParseAddr reads an address with or without a port; the zero Addr when it is neither. An
// IPv4-mapped IPv6 address (::ffff:1.2.3.4) comes out as IPv4, and a zone is dropped.
func ParseAddr(s string) netip.Addr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone("")
}

// IsLoopback reports whether host, a name or an address without a port, is this machine itself.
func IsLoopback(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
