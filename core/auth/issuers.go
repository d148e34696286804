package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/orga-session/orga-session/core/internal/netaddr"
)

// Issuers creates verifiers for OpenID Connect tokens, which share issuers' keys and verified tokens. The zero Issuers is
// ready to use. Do not change its fields after the first call of [Issuers.OIDC].
type Issuers struct {
	// Transport fetches discovery documents and keys; nil uses a default. Redirects are not followed.
	Transport http.RoundTripper
	// PublicTransport fetches keys from other hosts that an issuer on the internet names in its discovery document. Use one
	// that reaches only public addresses, so that the issuer cannot direct requests into a private network. nil uses
	// Transport.
	PublicTransport http.RoundTripper
	// Log gets a line for each failed fetch, and for unusable keys; nil discards them.
	Log *slog.Logger

	mu       sync.Mutex
	keys     map[source]*keySet
	verified memory
}

// source identifies a key set.
type source struct{ issuer, jwksURL string }

// OIDCConfig describes an OpenID Connect issuer, and which of its tokens are accepted.
type OIDCConfig struct {
	Issuer    string   // its URL, byte for byte as in its tokens' iss; with a JWKSURL, any text
	Audiences []string // aud must contain one of these (see [Issuers.OIDC] for tokens without aud)
	JWKSURL   string   // the address of its keys; "" discovers it from the issuer
	Claims    []string // claims to keep in [Principal]: names, or dotted paths into nested objects
}

// OIDC accepts callers with a JWT of an issuer, sent as Authorization: Bearer. It accepts every asymmetric JWS algorithm:
// RS, PS and ES with 256, 384 and 512 bits, and EdDSA with Ed25519. The token must have an exp, be valid by exp and nbf
// with a leeway of a minute, and have one of the audiences in aud. Without an aud, client_id (Cognito's access tokens) or
// azp (Clerk's session tokens) must have it. Refresh and logout tokens, and tokens bound to a client's key (DPoP, mTLS),
// are refused.
//
// Nothing is fetched before the first token. Keys are refetched for an unknown key ID or a wrong signature, at most every
// 30 s, and in the background of a request once they are ten minutes old. Once they are twenty minutes old, callers wait for
// the refetch, at most a third of their remaining time. Callers share a fetch, which continues even if they disconnect. A
// verified token is cached while the keys stay the same, and only its times are checked again. While the issuer is
// unreachable, cached keys remain valid, and a token that needs others is refused with an [UnavailableError]: in the minute
// after a failed fetch, within about 0.5 s.
//
// The error joins all faults of the configuration, without its values.
func (i *Issuers) OIDC(cfg OIDCConfig) (Verifier, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Audiences, cfg.Claims = slices.Clone(cfg.Audiences), slices.Clone(cfg.Claims)
	return &oidcVerifier{cfg: cfg, keys: i.keysOf(source{cfg.Issuer, cfg.JWKSURL}), verified: &i.verified}, nil
}

func (cfg OIDCConfig) check() error {
	var faults []error
	switch {
	case cfg.Issuer == "":
		faults = append(faults, errors.New("the issuer is missing"))
	case cfg.JWKSURL == "":
		if _, err := parseURL(cfg.Issuer); err != nil {
			faults = append(faults, fmt.Errorf("the issuer, of which the keys are to be discovered, %w", err))
		}
	}
	if cfg.JWKSURL != "" {
		if _, err := parseURL(cfg.JWKSURL); err != nil {
			faults = append(faults, fmt.Errorf("the JWKS URL %w", err))
		}
	}
	if len(cfg.Audiences) == 0 || slices.Contains(cfg.Audiences, "") {
		faults = append(faults, errors.New("the audience is missing: without it, tokens that the issuer made for others would be accepted"))
	}
	return errors.Join(faults...)
}

func (i *Issuers) keysOf(from source) *keySet {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, ok := i.keys[from]
	if !ok {
		if i.keys == nil {
			i.keys = make(map[source]*keySet)
		}
		transport, public, log := i.Transport, i.PublicTransport, i.Log
		if transport == nil {
			transport = plainTransport()
		}
		if public == nil {
			public = transport
		}
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		s = newKeySet(from, transport, public, log)
		i.keys[from] = s
	}
	return s
}

// plainTransport keeps connections only briefly: by the next fetch, minutes later, a connection may have died unnoticed.
func plainTransport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		TLSHandshakeTimeout:    2 * time.Second,
		IdleConnTimeout:        5 * time.Second,
		MaxResponseHeaderBytes: 8 << 10,
		ForceAttemptHTTP2:      true,
	}
}

const (
	maxURL  = 2 << 10 // bytes
	maxHost = 261     // a DNS name has at most 255, and a port 6 more
)

// parseURL parses a URL for trustworthy keys: https, or http on this machine. The error does not repeat it.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case len(s) > maxURL: // errors contain the host, and a key set keeps the URL for the instance's lifetime
		return nil, fmt.Errorf("must be a URL of at most %d bytes", maxURL)
	case err != nil || u.Host == "" || len(u.Host) > maxHost:
		return nil, errors.New("must be a URL with a host")
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("must be a URL without a user and a fragment")
	case netaddr.IsSecure(u):
		return u, nil
	}
	return nil, errors.New("must be an https URL; http is for loopback hosts only")
}
