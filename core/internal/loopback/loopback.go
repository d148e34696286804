// Package loopback recognizes this machine's own names and addresses, to which plain http is allowed.
package loopback

import (
	"net/netip"
	"strings"
)

// Is reports whether host, a name or an address without a port, is this machine.
func Is(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
