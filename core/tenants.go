package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/orga-session/orga-session/core/internal/problem"
	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/internal/session"
	"github.com/orga-session/orga-session/core/internal/strictjson"
	"github.com/orga-session/orga-session/core/orga"
	"github.com/orga-session/orga-session/core/secret"
)

// directory holds the tenants' chains. It is read once: at start or, if its source was unavailable then, by the first
// request for a tenant that can read it.
type directory struct {
	src   *secretcache.Cache
	build func(document string) (map[string]*chain, error)

	mu    sync.Mutex
	known map[string]*chain // nil until it is read
	fault *problem.Problem  // why the document is invalid; permanent
}

func (b *builder) directory() *directory {
	src := b.open("ORGA_TENANTS_SOURCE", b.cfg.TenantsSource, nil)
	if src == nil {
		return nil
	}
	return &directory{
		src:   secretcache.New(src, secretcache.Options{Name: b.cfg.TenantsSource, TTL: b.cfg.APIKeyTTL, Log: b.log}),
		build: b.tenants,
	}
}

// tenants returns the chains of all tenants by name. Its error is a [*problem.Problem].
func (d *directory) tenants(ctx context.Context) (map[string]*chain, error) {
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
	if err != nil {
		return nil, session.SecretProblem(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil && d.fault == nil { // no other caller was first
		if d.known, err = d.build(document.Value.Reveal()); err != nil {
			d.known, d.fault = nil, problem.New(problem.Misconfigured, err)
		}
	}
	if d.fault != nil {
		return nil, d.fault
	}
	return d.known, nil
}

// faulty reports whether the document is invalid.
func (d *directory) faulty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault != nil
}

// ready returns why the tenants are not available, nil if they are. It reads their source no more often than a readiness
// check reads a key.
func (d *directory) ready(ctx context.Context) *problem.Problem {
	if err := d.src.Ready(ctx); err != nil {
		return session.SecretProblem(err)
	}
	_, err := d.tenants(ctx)
	if refusal, ok := errors.AsType[*problem.Problem](err); ok {
		return refusal
	}
	return nil
}

// tenants builds a chain for every tenant of the document. Its error joins all faults.
func (b *builder) tenants(document string) (map[string]*chain, error) {
	before := len(b.faults)
	const setting = "ORGA_TENANTS_SOURCE"
	entries, err := readTenants([]byte(document))
	if err != nil {
		b.addFault(setting, err)
	}
	order := make([]string, len(entries))
	for i, entry := range entries {
		order[i] = entry.Name
	}
	slices.SortFunc(entries, func(a, z strictjson.Member) int { return strings.Compare(a.Name, z.Name) })
	chains := make(map[string]*chain, len(entries))
	taken := make(map[claimant]string)
	var all []Tenant
	if b.cfg.hasDefaultTenant() {
		all = append(all, b.cfg.Tenant)
	}
	for _, entry := range entries {
		s := scope(setting + ": tenant " + strconv.Quote(entry.Name))
		if !isTenantName(entry.Name) {
			s = scope(setting + ": tenant " + printable(entry.Name, strconv.Itoa(slices.Index(order, entry.Name)+1)))
			b.addFault(string(s), errors.New("want a name of the form [a-z0-9][a-z0-9-]{0,62}"))
		}
		t := b.readTenant(s, entry.Value)
		b.checkClaim(s, entry.Name, t, taken)
		chains[entry.Name] = b.chain(s, entry.Name, t)
		all = append(all, t)
	}
	if err := errors.Join(b.faults[before:]...); err != nil {
		return nil, err
	}
	b.warnOfSharing(all)
	return chains, nil
}

// readTenants parses {"tenants":{name:entry}}. Of duplicate tenants, the first counts.
func readTenants(document []byte) (strictjson.Members, error) {
	top, err := strictjson.Parse(document)
	if err != nil {
		return nil, jsonFault(err)
	}
	all, found := top.Get("tenants")
	for _, member := range top {
		if member.Name != "tenants" && member.Name != "$schema" {
			found = false
		}
	}
	if !found {
		return nil, errors.New(`want {"tenants":{…}}, with no other member but "$schema"`)
	}
	entries, err := strictjson.Parse(all)
	return entries, jsonFault(err)
}

// jsonFault names the document's duplicate members.
func jsonFault(err error) error {
	duplicate, ok := errors.AsType[*strictjson.DuplicateError](err)
	if !ok {
		return err
	}
	var faults []error
	for _, name := range duplicate.Names {
		faults = append(faults, fmt.Errorf("has %s twice", printable(name, "a member")))
	}
	return errors.Join(faults...)
}

// readTenant applies an entry of the document to the default tenant's settings, except the key, which is never inherited.
// An unknown member is a fault, because a misspelled setting must not silently mean the default.
func (b *builder) readTenant(s scope, raw json.RawMessage) Tenant {
	t := b.cfg.Tenant
	t.APIKey, t.APIKeySource, t.ClaimValue = nil, "", ""
	entry, err := strictjson.Parse(raw)
	if err != nil {
		b.addFault(string(s), jsonFault(err))
	}
	slices.SortFunc(entry, func(a, z strictjson.Member) int { return strings.Compare(a.Name, z.Name) })
	for _, member := range entry {
		i := slices.IndexFunc(settings, func(row Setting) bool { return row.Member == member.Name && member.Name != "" })
		if i < 0 {
			b.addFault(string(s)+": "+printable(member.Name, "a member"), errors.New("is not a setting of a tenant"))
			continue
		}
		if err := b.readMember(&t, settings[i], member.Value); err != nil {
			b.addFault(string(s)+": "+member.Name, err)
		}
	}
	has := func(name string) bool { _, ok := entry.Get(name); return ok }
	t.ownBaseURL, t.ownIssuer = has("baseURL"), has("authIssuer") || has("authJWKSURL")
	t.ownCredential = t.ownIssuer || has("authAudience") || has("authHMACKeySource")
	if has("authIssuer") && !has("authJWKSURL") {
		t.AuthJWKSURL = "" // these are the default issuer's keys
	}
	if source, ok := entry.Get("apiKeySource"); err == nil && (!ok || string(source) == `""`) {
		b.addFault(s.name("ORGA_API_KEY_SOURCE"), errors.New("is required; a tenant never uses another's key"))
	}
	if t.ownIssuer && !has("auth") && slices.Contains(t.Auth, "anonymous") {
		b.addFault(s.name("ORGA_AUTH"), errors.New("is required with authIssuer: the inherited anonymous would let everybody mint"))
	}
	return t
}

func (b *builder) readMember(t *Tenant, row Setting, value json.RawMessage) error {
	if row.list {
		var list *[]string
		if json.Unmarshal(value, &list) != nil || list == nil {
			return errors.New("must be an array of strings")
		}
		return row.read(&b.cfg, t, strings.Join(*list, ","))
	}
	text, ok := strictjson.String(value)
	if !ok {
		return errors.New("must be a string")
	}
	if row.Member == "apiKeySource" || row.Member == "authHMACKeySource" {
		if err := b.checkTenantSource(text); err != nil {
			return err
		}
	}
	return row.read(&b.cfg, t, text)
}

// checkTenantSource keeps a tenants' document, which people other than the owner may write, from reading the endpoint's
// environment and files: a credential found there would be sent upstream.
func (b *builder) checkTenantSource(source string) error {
	ref, _ := secret.ParseRef(source) // opening it reports its syntax
	switch ref.Scheme {
	case "env":
		if !strings.HasPrefix(ref.Name, "ORGA_API_KEY_") {
			return errors.New("want a variable called ORGA_API_KEY_…: tenants may read no other")
		}
	case "file":
		own, err := secret.ParseRef(b.cfg.TenantsSource)
		folder := filepath.Dir(own.Name)
		if own.Scheme == "file" && filepath.Dir(folder) == folder {
			return errors.New("the tenants' own file is in the root folder, from where tenants could read every file: set ORGA_TENANTS_SOURCE to a file in a separate folder, such as file:/etc/orga/tenants.json")
		}
		if inside, relErr := filepath.Rel(folder, filepath.Clean(ref.Name)); err != nil || own.Scheme != "file" || relErr != nil || !filepath.IsLocal(inside) {
			return errors.New("want a file in the folder of the tenants' own file, or below it")
		}
	}
	return nil
}

// isTenantName reports whether s has the form [a-z0-9][a-z0-9-]{0,62}.
func isTenantName(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// printable returns a name for use in a fault, or other if the name may be a misplaced secret: if it contains a key, is
// long, or has characters other than letters, digits and _.
func printable(name, other string) string {
	const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	if name == "" || len(name) > 32 || strings.Trim(name, harmless) != "" || strings.Contains(name, orga.KeyPrefix) {
		return other
	}
	return strconv.Quote(name)
}
