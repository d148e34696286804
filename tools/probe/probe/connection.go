package probe

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// checkConnection checks the connection. It returns false if there is none that a browser would accept.
func (p *prober) checkConnection(a answer) bool {
	host := p.browser.target.Hostname()
	if untrusted, why := certificateFault(a.err); untrusted {
		p.report.ok("reach", "a connection opens")
		p.report.fail("tls", "the certificate is not accepted: "+why,
			"Serve a certificate from a public authority for this name, with its complete chain.")
		return false
	}
	through := p.browser.through()
	if a.remote == "" && through != "" {
		p.report.fail("reach", "no connection "+through+": "+unreachable(a),
			"Check the address, and whether the proxy may connect to it. To bypass the proxy, add "+host+" to NO_PROXY.")
		return false
	}
	if a.remote == "" {
		p.report.fail("reach", "no connection: "+unreachable(a),
			"Check the address, the deployment, and any firewall in between.")
		return false
	}
	p.report.ok("reach", fmt.Sprintf("%s in %s", cmp.Or(through, a.remote), formatMillis(a.timing.DNS+a.timing.Connect)))
	switch {
	case p.browser.target.Scheme == "http" && isLoopback(host):
		p.report.ok("tls", "none; not needed on this machine")
	case p.browser.target.Scheme == "http":
		p.report.fail("tls", "none: an https page may not call it, and an http page cannot use the microphone",
			"Serve the endpoint over https.")
	case a.tls != nil:
		p.checkCertificate(a.tls)
	default:
		p.report.skip("tls", "there was no response")
	}
	return true
}

func (p *prober) checkCertificate(s *tls.ConnectionState) {
	const soon = 14 * 24 * time.Hour
	leaf := s.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	detail := fmt.Sprintf("%s, certificate until %s", tls.VersionName(s.Version), leaf.NotAfter.UTC().Format(time.DateOnly))
	if left < soon {
		p.report.warn("tls", fmt.Sprintf("%s: %d days left", detail, int(left.Hours()/24)), "Renew the certificate.")
		return
	}
	p.report.ok("tls", detail)
}

// certificateFault returns why a browser would reject a certificate.
func certificateFault(err error) (untrusted bool, why string) {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true, "it is for another name"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true, "it is not signed by a known authority"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return true, "it has expired or is not valid yet by this machine's clock"
		}
		return true, "it is not valid for a server"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true, "it does not verify"
	}
	return false, ""
}

// unreachable describes why a connection failed.
func unreachable(a answer) string {
	if timedOut(a.err) {
		return "no answer within " + formatTimeout(a.limit)
	}
	if op, ok := errors.AsType[*net.OpError](a.err); ok && op.Op == "dial" {
		return op.Err.Error()
	}
	if refusal, ok := errors.AsType[proxyStatus](a.err); ok {
		return refusal.Error()
	}
	return "the connection was closed before the request was sent"
}

// formatTimeout formats a timeout.
func formatTimeout(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// formatMillis formats milliseconds.
func formatMillis(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
