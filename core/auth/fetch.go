package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"

	"github.com/orga-session/orga-session/core/internal/netaddr"
	"github.com/orga-session/orga-session/core/internal/wallclock"
	"github.com/orga-session/orga-session/internal/neterror"
)

// maxDocument bounds a discovery document or a key set, in bytes. 100 RSA keys with certificates take about 400,000.
const maxDocument = 1 << 20

// address is a URL with the transport to fetch it.
type address struct {
	*url.URL
	transport http.RoundTripper
}

// fetch fetches the keys from the given address or, if it is nil, from the one in the issuer's discovery document. It keeps
// the discovered address even if fetching the keys fails.
func (s *keySet) fetch(ctx context.Context, at *address) (*keys, error) {
	if at == nil {
		var err error
		if at, err = s.discover(ctx); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		s.mu.Lock()
		s.discovered, s.discoveredAt = at, wallclock.Now()
		s.mu.Unlock()
	}
	body, err := s.get(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	list, unusable, err := parseKeySet(body)
	if err != nil {
		return nil, fmt.Errorf("keys: %s: %w", at.Host, err)
	}
	if unusable != "" {
		s.log.Info("unusable issuer keys", "issuer", s.issuer, "usable", len(list), "unusable", unusable)
	}
	fetched := &keys{list: list, byID: make(map[string][]publicKey)}
	for _, key := range list {
		fetched.byID[key.id] = append(fetched.byID[key.id], key)
	}
	return fetched, nil
}

// discover fetches the address of the keys from the issuer (OpenID Connect Discovery 1.0, section 4).
func (s *keySet) discover(ctx context.Context) (*address, error) {
	var from net.Addr // the issuer's address; nil if unknown
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { from = got.Conn.RemoteAddr() }})
	body, err := s.get(ctx, s.discovery)
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURL string `json:"jwks_uri"`
	}
	if json.Unmarshal(body, &document) != nil {
		return nil, errors.New("the issuer's answer is not a discovery document in JSON")
	}
	switch {
	case strings.Contains(document.Issuer, "{tenantid}"): // Entra's common, organizations
		return nil, errors.New("the issuer is shared by many directories: set your own directory's issuer, such as https://login.microsoftonline.com/DIRECTORY-ID/v2.0")
	case document.Issuer != s.issuer:
		return nil, fmt.Errorf("the issuer names itself %.200q; the setting must equal that, byte for byte", document.Issuer)
	}
	at, err := parseURL(document.JWKSURL)
	if err == nil {
		err = checkDiscovered(s.discovery.URL, at)
	}
	if err != nil {
		return nil, fmt.Errorf("jwks_uri %w", err)
	}
	if isPublic(from) && at.Host != s.discovery.Host {
		return &address{at, s.public}, nil
	}
	return &address{at, s.transport}, nil
}

// isPublic reports whether addr is a public address; false for nil, an unknown one.
func isPublic(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && !isInternal(tcp.IP.String())
}

// checkDiscovered reports why a discovered address of keys is not allowed: an issuer on the internet must not direct the
// endpoint into a network that it cannot reach itself.
func checkDiscovered(issuer, at *url.URL) error {
	switch {
	case at.Scheme != "https" && issuer.Scheme == "https":
		return errors.New("must be https, as the issuer is")
	case isInternal(at.Hostname()) && !isInternal(issuer.Hostname()):
		return errors.New("must not be a private address, since the issuer is public")
	}
	return nil
}

// isInternal reports whether host looks internal. The transport checks what a name resolves to: see
// [Issuers].PublicTransport.
func isInternal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return netaddr.IsLoopback(host) || err == nil && !netaddr.IsPublic(addr)
}

// get fetches a document. Its errors name the host, but not the path or the query, and do not quote the response.
func (s *keySet) get(ctx context.Context, at *address) ([]byte, error) {
	r := (&http.Request{Method: http.MethodGet, URL: at.URL, Host: at.Host, Header: make(http.Header)}).WithContext(ctx)
	// A client would follow redirects, and its errors would have the whole URL.
	resp, err := at.transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at.Host, neterror.Describe(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", at.Host, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", at.Host, neterror.Describe(err))
	case len(body) > maxDocument:
		return nil, fmt.Errorf("%s: the answer is larger than %d bytes", at.Host, maxDocument)
	}
	return body, nil
}
