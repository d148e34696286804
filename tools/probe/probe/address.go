package probe

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// addresses parses the URL and the origin; the origin is "" if it is the endpoint's own. Its errors do not repeat the
// values, which may contain a password.
func (o Options) addresses() (target *url.URL, origin string, err error) {
	target, err = url.Parse(o.URL)
	if err != nil || target.Host == "" || (target.Scheme != "https" && target.Scheme != "http") {
		return nil, "", errors.New("invalid address: want https://host" + DefaultPath)
	}
	if target.Path == "" || target.Path == "/" {
		target.Path = DefaultPath
	}
	target.Fragment = ""
	if o.Origin == "" {
		return target, "", nil
	}
	page, err := url.Parse(o.Origin)
	if err != nil || page.Host == "" || (page.Scheme != "https" && page.Scheme != "http") ||
		strings.TrimSuffix(page.Path, "/")+page.RawQuery+page.Fragment != "" || page.User != nil {
		return nil, "", errors.New("invalid origin: want https://host or https://host:port")
	}
	if origin = originOf(page); origin == originOf(target) {
		return target, "", nil
	}
	return target, origin, nil
}

// originOf returns the origin of u as browsers send it: in lower case, without a default port.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host
}

// display returns u without the parts that may contain secrets.
func display(u *url.URL) string {
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// notRun returns why an address could not be contacted at all, nil if the fault is not here.
func notRun(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New("the name " + dns.Name + " does not resolve: it is misspelled, or there is no network")
	}
	if noNetwork(err) {
		return errors.New("this machine has no network route to the endpoint")
	}
	return nil
}
