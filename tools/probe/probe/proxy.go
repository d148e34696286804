package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// proxyVariable returns the environment variable with the proxy for u.
func proxyVariable(u *url.URL) string { return strings.ToUpper(u.Scheme) + "_PROXY" }

// through names the proxy, without its password; "" if there is none.
func (b *browser) through() string {
	if b.proxy == nil {
		return ""
	}
	return "through the proxy " + b.proxy.Scheme + "://" + b.proxy.Host
}

// proxyStatus is the status of a proxy that refused to connect.
type proxyStatus int

func (s proxyStatus) Error() string {
	return fmt.Sprintf("the proxy answered %d %s", int(s), http.StatusText(int(s)))
}

func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return proxyStatus(res.StatusCode)
}

// notRun returns why the endpoint could not be contacted at all, nil if the fault is not here.
func (b *browser) notRun(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		why := "it does not accept connections"
		if inner, ok := errors.AsType[*net.OpError](op.Err); ok && inner.Op == "dial" {
			why = inner.Err.Error()
		}
		return fmt.Errorf("no connection %s: %s. Check %s, or add %s to NO_PROXY",
			b.through(), why, proxyVariable(b.target), b.target.Hostname())
	}
	return notRun(err)
}
