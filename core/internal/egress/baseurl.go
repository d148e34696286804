package egress

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/orga-session/orga-session/core/internal/netaddr"
)

// CheckBaseURL reports why base must not receive the key: it must be https, or http to this machine. If public is true,
// it must not be a loopback or private address either; each dial checks the resolved address again (see [PublicOnly]).
// The error does not repeat base.
func CheckBaseURL(base string, public bool) error {
	u, err := url.Parse(base)
	switch {
	case err != nil, u.Hostname() == "", u.User != nil, u.RawQuery != "", u.Fragment != "", u.Opaque != "":
		return errors.New("is not of the form https://host or https://host/path")
	case !isPort(u.Port()):
		return errors.New("has a port outside of 1 to 65535")
	case !netaddr.IsSecure(u), public && u.Scheme != "https":
		return errors.New("must be https (http is for this machine's own addresses)")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); public && (netaddr.IsLoopback(u.Hostname()) || err == nil && !netaddr.IsPublic(addr)) {
		return errNotPublic
	}
	return nil
}

// isPort reports whether s is a port, or empty for the scheme's default.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}
