package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/orga-session/orga-session/core/internal/wallclock"
	"github.com/orga-session/orga-session/core/platform"
)

// maxDocument bounds a discovery document or a key set, in bytes: 100 RSA keys with their certificates have
// some 400,000.
const maxDocument = 1 << 20

// fetch gets the keys from the address given, or from the one that the issuer names when it is "". The
// address that was discovered is kept, whatever becomes of the keys.
func (s *keySet) fetch(ctx context.Context, at string) (*keys, error) {
	if at == "" {
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
		return nil, fmt.Errorf("keys: %s: %w", host(at), err)
	}
	if unusable != "" {
		s.log.Info("some of the issuer's keys cannot be used", "issuer", s.issuer, "usable", len(list), "unusable", unusable)
	}
	fetched := &keys{list: list, byID: make(map[string][]publicKey)}
	for _, key := range list {
		fetched.byID[key.id] = append(fetched.byID[key.id], key)
	}
	return fetched, nil
}

// discover asks the issuer where its keys are (OpenID Connect Discovery 1.0, section 4).
func (s *keySet) discover(ctx context.Context) (string, error) {
	body, err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURL string `json:"jwks_uri"`
	}
	if json.Unmarshal(body, &document) != nil {
		return "", errors.New("the issuer's answer is not the JSON that it should be")
	}
	switch {
	case strings.Contains(document.Issuer, "{tenantid}"): // Entra's common, organizations
		return "", errors.New("the issuer stands for many directories, and none of its tokens names it: set the issuer of yours, such as https://login.microsoftonline.com/DIRECTORY-ID/v2.0")
	case document.Issuer != s.issuer:
		return "", fmt.Errorf("the issuer calls itself %.200q, and that is what the setting must be, byte for byte", document.Issuer)
	}
	if err := checkURL(document.JWKSURL); err != nil {
		return "", fmt.Errorf("jwks_uri %w", err)
	}
	if err := checkDiscovered(s.issuer, document.JWKSURL); err != nil {
		return "", fmt.Errorf("jwks_uri %w", err)
	}
	return document.JWKSURL, nil
}

// checkDiscovered reports what keeps the address of the keys from being one that the issuer may send us to:
// what is on the internet must not lead into a network that it cannot reach itself.
func checkDiscovered(issuer, jwksURL string) error {
	from, err := url.Parse(issuer)
	if err != nil {
		return err
	}
	to, err := url.Parse(jwksURL)
	if err != nil {
		return err
	}
	switch {
	case to.Scheme != "https" && !platform.IsLoopback(from.Hostname()):
		return errors.New("must be https, as the issuer is")
	case isInternal(to.Hostname()) && !isInternal(from.Hostname()):
		return errors.New("must not be an address of a private network, as the issuer is none")
	}
	return nil
}

// isInternal reports whether host is, by its looks, not on the internet. What a name resolves to is for the
// transport to check.
func isInternal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return platform.IsLoopback(host) || err == nil && (!addr.Unmap().IsGlobalUnicast() || addr.Unmap().IsPrivate())
}

// get reads a document. Its errors name the host, not the path or the query, and repeat nothing of what was
// answered.
func (s *keySet) get(ctx context.Context, at string) ([]byte, error) {
	//nolint:gosec // at is the owner's setting, or the issuer's own word, and has passed checkURL: no caller's
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, errors.New("the address is malformed")
	}
	// A transport, not a client: the latter follows redirects, and has the whole URL in its errors.
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host(at), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", host(at), resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: the answer broke off: %w", host(at), err)
	case len(body) > maxDocument:
		return nil, fmt.Errorf("%s: the answer is larger than %d bytes", host(at), maxDocument)
	}
	return body, nil
}

// host returns the host of a URL that has been parsed before.
func host(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	return u.Host
}
