package probe

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// addresses reads what is to be asked and by which origin. Its errors do not repeat the values: an
// address may hold a password.
func (o Options) addresses() (target *url.URL, origin string, err error) {
	target, err = url.Parse(o.URL)
	if err != nil || target.Host == "" || (target.Scheme != "https" && target.Scheme != "http") {
		return nil, "", errors.New("the address is not one of an endpoint: https://host" + DefaultPath)
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
		return nil, "", errors.New("the origin is not one that a browser sends: https://host, or with a port")
	}
	if origin = originOf(page); origin == originOf(target) {
		return target, "", nil
	}
	return target, origin, nil
}

// originOf is the origin of u as a browser writes it: in lower case, without a default port.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host
}

// display is u without the parts in which people keep secrets.
func display(u *url.URL) string {
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// isLoopback says whether a host name stands for this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// notRun is the reason why an address could not be asked at all, nil when it could.
func notRun(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New("the name " + dns.Name + " does not resolve here: a typing error, or no network")
	}
	if noNetwork(err) {
		return errors.New("there is no network from here to the endpoint")
	}
	return nil
}
