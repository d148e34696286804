package cors

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// checkOrigin reports why s is not an origin as browsers send it (the ASCII serialization of the HTML standard): lower
// case, punycode, no default port, nothing after the host. Origins can then be compared byte for byte, and an entry that
// would never match is a fault at start.
//
// Apps in a web view and browser extensions have origins of other schemes, such as app://. or capacitor://localhost. What
// follows their scheme is not checked.
func checkOrigin(s string) error {
	scheme, authority, ok := strings.Cut(s, "://")
	switch {
	case !ok || !isScheme(scheme):
		return errors.New("does not start with a scheme in lower case, such as https://")
	case scheme == "file":
		return errors.New("has the scheme file, whose pages have the origin null; serve the page over http")
	case scheme != "http" && scheme != "https":
		if strings.ContainsFunc(authority, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`,", r) }) {
			return errors.New("has a blank, a quote, a comma or a character outside of ASCII")
		}
		return nil
	}
	return checkAuthority(scheme, authority)
}

// checkAuthority reports why s is not a host, with a port if it is not the scheme's default, as browsers send it.
func checkAuthority(scheme, s string) error {
	if strings.ContainsAny(s, "/?#") {
		return errors.New("has something after its host; remove it, even a slash")
	}
	host := s
	// A colon within brackets belongs to an IPv6 address.
	if colon := strings.LastIndexByte(s, ':'); colon > strings.LastIndexByte(s, ']') {
		port := s[colon+1:]
		host = s[:colon]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return errors.New("has an invalid port; want 1 to 65535")
		}
		if scheme == "http" && n == 80 || scheme == "https" && n == 443 {
			return errors.New("has the default port of its scheme; remove it, as browsers do")
		}
	}
	if !isHost(host) {
		return errors.New("has no host as browsers write it: lower case, no user, no wildcard, no dot at the end, punycode where it is not ASCII")
	}
	return nil
}

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyz"
)

// only reports whether s is not empty and consists of characters in set.
func only(s, set string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(set, r) })
}

func isScheme(s string) bool {
	return only(s, letters+digits+"+-.") && only(s[:1], letters)
}

func isHost(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6() && !addr.Is4In6() && addr.Zone() == "" && addr.String() == inner
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if len(label) > 63 || !only(label, letters+digits+"-_") {
			return false
		}
		last = label
	}
	if only(last, digits) || strings.HasPrefix(last, "0x") {
		// Browsers treat this as an IPv4 address, and send it with all four numbers.
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.String() == s
	}
	return len(s) <= 253
}
