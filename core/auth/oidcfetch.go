package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxDocument = 256 << 10 // of a discovery document or a key set, in bytes
	maxKeys     = 32        // of a key set; a token without a key id is tried with each
)

// fetch gets the keys from the address given, or from the one that the issuer names when it is "", and
// tells which that was. With an error it is "": they may have moved.
func (s *keySet) fetch(ctx context.Context, at string) (*keys, string, error) {
	// The next fetch is minutes or days away. A connection that is kept for it may be dead by then, and
	// swallow it.
	defer s.http.CloseIdleConnections()
	if at == "" {
		var issuer struct {
			Issuer  string `json:"issuer"`
			JWKSURL string `json:"jwks_uri"`
		}
		if err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", &issuer); err != nil {
			return nil, "", fmt.Errorf("discovery: %w", err)
		}
		if issuer.Issuer != s.issuer {
			return nil, "", fmt.Errorf("discovery: the issuer calls itself %.200q, and that is what the setting must be, byte for byte", issuer.Issuer)
		}
		if err := checkURL(issuer.JWKSURL); err != nil {
			return nil, "", fmt.Errorf("discovery: jwks_uri %w", err)
		}
		at = issuer.JWKSURL
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, at, &set); err != nil {
		return nil, "", fmt.Errorf("keys: %w", err)
	}
	fetched := new(keys)
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// A key of a kind that is not known here says nothing about the others (RFC 7517, section 5).
		if err := json.Unmarshal(raw, &key); err == nil && canVerify(key) && len(fetched.list) < maxKeys {
			fetched.list = append(fetched.list, key)
		}
	}
	if len(fetched.list) == 0 {
		return nil, "", errors.New("keys: there is none for RS256 or ES256")
	}
	return fetched, at, nil
}

// canVerify tells whether a key is public, for signatures, and of a kind that we accept.
func canVerify(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return key.Algorithm == "" || key.Algorithm == string(jose.RS256)
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize == 256 && (key.Algorithm == "" || key.Algorithm == string(jose.ES256))
	}
	return false
}

// get reads a JSON document. Its errors repeat nothing of what was answered.
func (s *keySet) get(ctx context.Context, at string, v any) error {
	//nolint:gosec // at is the owner's setting, or the issuer's own word, and has passed checkURL: no caller's
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	resp, err := s.http.Do(req) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the issuer answered %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return fmt.Errorf("the issuer's answer broke off: %w", err)
	case len(body) > maxDocument:
		return fmt.Errorf("the issuer's answer is larger than %d bytes", maxDocument)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return errors.New("the issuer's answer is not the JSON that it should be")
	}
	return nil
}
