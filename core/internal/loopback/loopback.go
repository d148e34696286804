// Package loopback knows the names and addresses of this machine itself, which plain http may lead to.
package loopback

import (
	"net/netip"
	"strings"
)

// Is reports whether host, a name or an address without a port, is this machine itself.
func Is(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
