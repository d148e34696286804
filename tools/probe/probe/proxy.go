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

// proxyVariable is the environment variable whose proxy u is asked through.
func proxyVariable(u *url.URL) string { return strings.ToUpper(u.Scheme) + "_PROXY" }

// through names the proxy, without its password; "" without one.
func (b *browser) through() string {
	if b.proxy == nil {
		return ""
	}
	return "through the proxy " + b.proxy.Scheme + "://" + b.proxy.Host
}

// proxyStatus is the status with which a proxy refused to connect.
type proxyStatus int

func (s proxyStatus) Error() string {
	return fmt.Sprintf("the proxy answers %d %s", int(s), http.StatusText(int(s)))
}

func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return proxyStatus(res.StatusCode)
}

// notRun is the reason why the endpoint could not be asked at all, nil when it could.
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
