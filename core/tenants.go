package core

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/problem"
	"github.com/orga-session/orga-session/core/secret"
)

// directory holds the tenants, each a chain of its own. It is read once: at start, or, when its
// source was out of reach then, by the first request for a tenant that gets through to it.
type directory struct {
	src   *secret.Cache
	build func(document string) (map[string]*tenant, error)

	mu    sync.Mutex
	known map[string]*tenant // nil until it is read
	fault *problem.Problem   // what it reads is wrong, and stays so until the next start
}

func (b *builder) directory() *directory {
	src := b.open("ORGA_TENANTS_SOURCE", b.cfg.TenantsSource, secret.DecodeText)
	if src == nil {
		return nil
	}
	return &directory{
		src:   secret.NewCache(src, secret.CacheOptions{Name: b.cfg.TenantsSource, TTL: b.cfg.APIKeyTTL, Log: b.log}),
		build: b.tenants,
	}
}

// tenants are all of them, by name. Its error is an *problem.Problem, or ctx's own.
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
	if out, ok := errors.AsType[*secret.FetchError](err); ok {
		return nil, session.SecretProblem(out)
	}
	if err != nil {
		return nil, problem.New(problem.Timeout, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil && d.fault == nil { // nobody else was first
		if d.known, err = d.build(document.Value.Reveal()); err != nil {
			d.known, d.fault = nil, problem.New(problem.Misconfigured, err)
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
	entries, order, err := parseTenants(document)
	if err != nil {
		b.fault("ORGA_TENANTS_SOURCE", err)
	}
	built := make(map[string]*tenant, len(entries))
	settings := []Tenant{b.cfg.Tenant}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		s := scope("ORGA_TENANTS_SOURCE: tenant " + strconv.Quote(name))
		if !isTenantName(name) {
			place := strconv.Itoa(slices.Index(order, name) + 1)
			s = scope("ORGA_TENANTS_SOURCE: tenant " + shown(name, place))
			b.fault(string(s), errors.New("its name is not of the form [a-z0-9][a-z0-9-]{0,62}"))
		}
		t := b.inherit(s, entries[name])
		built[name] = b.tenant(s, name, t)
		settings = append(settings, t)
	}
	if err := errors.Join(b.faults[before:]...); err != nil {
		return nil, err
	}
	b.warnOfSharing(settings)
	return built, nil
}

// warnOfSharing tells of tenants, the default one among them, whose users are taken for each other's.
func (b *builder) warnOfSharing(tenants []Tenant) {
	if b.cfg.TenantClaim != "" {
		return
	}
	sharing := make(map[[2]string]int)
	for _, t := range tenants {
		if slices.Contains(t.Auth, "oidc") {
			sharing[[2]string{t.AuthIssuer, t.AuthAudience}]++
		}
	}
	for _, n := range sharing {
		if n > 1 {
			b.log.Warn("tenants that share an issuer and an audience accept each other's users; ORGA_AUTH_TENANT_CLAIM keeps them apart", "tenants", n)
		}
	}
}

// parseTenants reads {"tenants":{name:entry}}; order is that of the names in the document.
func parseTenants(document string) (entries members, order []string, err error) {
	top, _, err := parseMembers(json.RawMessage(document))
	if err != nil {
		return nil, nil, err
	}
	if len(top) != 1 || top["tenants"] == nil {
		return nil, nil, errors.New(`is not {"tenants":{…}} with nothing beside it`)
	}
	return parseMembers(top["tenants"])
}

// shown is how a fault prints a name that somebody made up: other in place of one that could be a secret
// where it does not belong, as is a key, and whatever is long or is not made of letters, digits and _.
func shown(name, other string) string {
	const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	if name == "" || len(name) > 32 || strings.Trim(name, harmless) != "" || strings.Contains(name, orga.KeyPrefix) {
		return other
	}
	return strconv.Quote(name)
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
	"tenantRateLimit": func(p *parser, t *Tenant, text string) {
		t.TenantRateLimit = p.quotaIn("tenantRateLimit", text, t.TenantRateLimit)
	},
}

// inherit is the default tenant's settings under those of an entry; the key is never inherited. A member
// twice, or one that is unknown, is a fault: a setting that is misspelt must not quietly be the default.
func (b *builder) inherit(s scope, raw json.RawMessage) Tenant {
	t := b.cfg.Tenant
	t.APIKeySource = ""
	entry, _, err := parseMembers(raw)
	if err != nil {
		b.fault(string(s), err)
	}
	var p parser
	for _, name := range slices.Sorted(maps.Keys(entry)) {
		p.member(&t, name, entry[name])
	}
	if entry["authIssuer"] != nil && entry["authJWKSURL"] == nil {
		t.AuthJWKSURL = "" // the default issuer's keys are not this one's
	}
	if entry != nil && t.APIKeySource == "" {
		p.fault("apiKeySource", "is required; a tenant never uses another's key")
	}
	for _, fault := range p.faults {
		b.fault(string(s), fault)
	}
	return t
}

// member puts one member of a tenant's entry into its settings.
func (p *parser) member(t *Tenant, name string, raw json.RawMessage) {
	if name == "corsOrigins" {
		var list *[]string
		if t.CORSOrigins = nil; json.Unmarshal(raw, &list) != nil || list == nil {
			p.fault(name, "is no list of texts")
			return
		}
		t.CORSOrigins = *list
		return
	}
	set, known := tenantMembers[name]
	var text *string
	switch {
	case !known:
		p.fault(shown(name, "a member"), "is no setting of a tenant")
	case json.Unmarshal(raw, &text) != nil, text == nil:
		p.fault(name, "is no text")
	default:
		set(p, t, *text)
	}
}

// members are those of a JSON object, by their exact names.
type members map[string]json.RawMessage

var errNoObject = errors.New("is no JSON object where one belongs")

// parseMembers reads a JSON object; order is that of the names in it. Of a member twice, which is a fault,
// the first counts.
func parseMembers(raw json.RawMessage) (found members, order []string, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, nil, errNoObject
	}
	found = make(members)
	var faults []error
	for dec.More() {
		token, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return nil, nil, errNoObject
		}
		name := token.(string)
		order = append(order, name)
		if _, twice := found[name]; twice {
			faults = append(faults, fmt.Errorf("has %s twice", shown(name, "a member")))
			continue
		}
		found[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, errNoObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errNoObject
	}
	return found, order, errors.Join(faults...)
}
