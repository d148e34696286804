package core

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// checkBaseURL holds the address of an Orga API to what the key may travel over: https, or http to
// this machine alone. One that a tenant names must be public besides; its name is checked again,
// resolved, at each dial (publicOnly).
func checkBaseURL(base string, public bool) error {
	u, err := url.Parse(base)
	switch {
	case err != nil, u.Hostname() == "", u.User != nil, u.RawQuery != "", u.Fragment != "", u.Opaque != "":
		return errors.New("is not of the form https://host or https://host/path")
	case !isPort(u.Port()):
		return errors.New("has a port outside of 1 to 65535")
	case u.Scheme == "https":
	case u.Scheme == "http" && !public && isLoopback(u.Hostname()):
	default:
		return errors.New("must be https (http is for this machine's own addresses)")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); public && (isLoopback(u.Hostname()) || err == nil && !isPublic(addr)) {
		return errNotPublic
	}
	return nil
}

// isPort tells whether s is a port, or nothing: then it is the scheme's own.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
