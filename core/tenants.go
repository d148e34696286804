package core

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/orga-session/orga-session/core/exchange"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/session"
)

// directory holds the tenants, each a chain of its own. It is read once: at start, or, when its
// source was out of reach then, by the first request for a tenant that gets through to it.
type directory struct {
	src   *secret.Cache
	build func(document string) (map[string]*tenant, error)

	mu    sync.Mutex
	known map[string]*tenant // nil until it is read
	fault *exchange.Problem  // what it reads is wrong, and stays so until the next start
}

func (b *builder) directory() *directory {
	src := b.open("ORGA_TENANTS_SOURCE", b.cfg.TenantsSource, secret.Text)
	if src == nil {
		return nil
	}
	return &directory{
		src:   secret.NewCache(src, b.cfg.TenantsSource, b.cfg.APIKeyTTL, b.log),
		build: b.tenants,
	}
}

// tenants are all of them, by name. Its error is an *exchange.Problem, or ctx's own.
func (d *directory) tenants(ctx context.Context) (map[string]*tenant, error) {
	d.mu.Lock()
	known, fault := d.known, d.fault
	d.mu.Unlock()
	switch {
	case fault != nil:
		return nil, fault
	case known != nil:
		return known, nil
	}
	document, err := d.src.Get(ctx)
	if out, ok := errors.AsType[*secret.UnavailableError](err); ok {
		return nil, session.SecretProblem(out)
	}
	if err != nil {
		return nil, exchange.Refuse(exchange.Timeout, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil && d.fault == nil { // nobody else was first
		if d.known, err = d.build(document.Value.Reveal()); err != nil {
			d.known, d.fault = nil, exchange.Refuse(exchange.Misconfigured, err)
		}
	}
	if d.fault != nil {
		return nil, d.fault
	}
	return d.known, nil
}

// faulty tells whether what was read is wrong.
func (d *directory) faulty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault != nil
}

// tenants builds every tenant of the document. Its error joins what is wrong with any of them.
func (b *builder) tenants(document string) (map[string]*tenant, error) {
	before := len(b.faults)
	entries, err := parseTenants(document)
	if err != nil {
		b.fault("ORGA_TENANTS_SOURCE", err)
	}
	built := make(map[string]*tenant, len(entries))
	sharing := make(map[[2]string]int)
	for name, entry := range entries {
		t, err := b.inherit(entry)
		if err != nil {
			b.fault(fmt.Sprintf("ORGA_TENANTS_SOURCE: tenant %q", name), err)
			continue
		}
		built[name] = b.tenant(name, t)
		if slices.Contains(t.Auth, "oidc") {
			sharing[[2]string{t.AuthIssuer, t.AuthAudience}]++
		}
	}
	for _, n := range sharing {
		if n > 1 && b.cfg.TenantClaim == "" {
			b.log.Warn("tenants that share an issuer and an audience accept each other's users; ORGA_AUTH_TENANT_CLAIM keeps them apart", "tenants", n)
		}
	}
	return built, errors.Join(b.faults[before:]...)
}

// parseTenants reads {"tenants":{name:{member:value}}}. A member twice, or one that is unknown, is a
// fault: a setting that is misspelt must not quietly be the default.
func parseTenants(document string) (map[string]members, error) {
	top, err := parseMembers(json.RawMessage(document))
	if err != nil {
		return nil, err
	}
	if len(top) != 1 || top["tenants"] == nil {
		return nil, errors.New(`is not {"tenants":{…}} with nothing beside it`)
	}
	named, err := parseMembers(top["tenants"])
	if err != nil {
		return nil, err
	}
	entries := make(map[string]members, len(named))
	for name, raw := range named {
		if !isTenantName(name) {
			return nil, errors.New("a tenant's name is not of the form [a-z0-9][a-z0-9-]{0,62}")
		}
		if entries[name], err = parseMembers(raw); err != nil {
			return nil, fmt.Errorf("tenant %q: %w", name, err)
		}
	}
	return entries, nil
}

// tenantMembers are the settings that a tenant may have of its own.
var tenantMembers = map[string]func(p *parser, t *Tenant, text string){
	"apiKeySource": func(_ *parser, t *Tenant, text string) { t.APIKeySource = text },
	"apiKeyTTL":    func(p *parser, t *Tenant, text string) { t.APIKeyTTL = p.durationIn("apiKeyTTL", text, t.APIKeyTTL) },
	"baseURL":      func(_ *parser, t *Tenant, text string) { t.BaseURL, t.ownBaseURL = text, true },
	"userEmail":    func(_ *parser, t *Tenant, text string) { t.UserEmail = text },
	"auth":         func(_ *parser, t *Tenant, text string) { t.Auth = splitList(text) },
	"authIssuer":   func(_ *parser, t *Tenant, text string) { t.AuthIssuer = text },
	"authAudience": func(_ *parser, t *Tenant, text string) { t.AuthAudience = text },
	"authJWKSURL":  func(_ *parser, t *Tenant, text string) { t.AuthJWKSURL = text },
	"rateLimit":    func(p *parser, t *Tenant, text string) { t.RateLimit = p.quotaIn("rateLimit", text, t.RateLimit) },
}

// inherit is the default tenant's settings under those of an entry; the key is never inherited.
func (b *builder) inherit(entry members) (Tenant, error) {
	t := b.cfg.Tenant
	t.APIKeySource = ""
	var p parser
	for name, raw := range entry {
		if name == "corsOrigins" {
			t.CORSOrigins = nil
			if json.Unmarshal(raw, &t.CORSOrigins) != nil {
				p.fault(name, "is no list of texts")
			}
			continue
		}
		set, known := tenantMembers[name]
		var text *string
		switch {
		case !known:
			p.fault(fmt.Sprintf("%q", name), "is no setting of a tenant")
		case json.Unmarshal(raw, &text) != nil, text == nil:
			p.fault(name, "is no text")
		default:
			set(&p, &t, *text)
		}
	}
	if entry["authIssuer"] != nil && entry["authJWKSURL"] == nil {
		t.AuthJWKSURL = "" // the default issuer's keys are not this one's
	}
	if t.APIKeySource == "" {
		p.fault("apiKeySource", "is required; a tenant never uses another's key")
	}
	return t, errors.Join(p.faults...)
}

// members are those of a JSON object, by their exact names.
type members map[string]json.RawMessage

var errNoObject = errors.New("is no JSON object where one belongs")

func parseMembers(raw json.RawMessage) (members, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errNoObject
	}
	found := make(members)
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return nil, errNoObject
		}
		if _, twice := found[name.(string)]; twice {
			return nil, errors.New("has a member twice")
		}
		found[name.(string)] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNoObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoObject
	}
	return found, nil
}
