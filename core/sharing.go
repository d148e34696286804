package core

import (
	"cmp"
	"fmt"
	"slices"
)

// checkClaim adds a fault if two tenants that accept callers of the same issuer have the same claim value: each would
// accept the other's callers.
func (b *builder) checkClaim(s scope, name string, t Tenant, taken map[claimant]string) {
	if b.cfg.TenantClaim == "" {
		return
	}
	for _, method := range t.Auth {
		who := claimant{method: method, value: cmp.Or(t.ClaimValue, name)}
		switch method {
		case "hmac", "anonymous": // a signature covers the tenant's path; anonymous callers have no claims
			continue
		case "oidc":
			who.issuer = t.AuthIssuer
		}
		if first, ok := taken[who]; ok {
			b.addFault(string(s)+": claimValue", fmt.Errorf("tenant %q has the same value and the same issuer", first))
			return
		}
		taken[who] = name
	}
}

// claimant identifies the callers that a tenant accepts, if a tenant claim is required.
type claimant struct{ method, issuer, value string }

// warnOfSharing warns of tenants, including the default one, that accept each other's callers.
func (b *builder) warnOfSharing(tenants []Tenant) {
	signers := make(map[string]int) // tenants by the source of their HMAC key
	for _, t := range tenants {
		if slices.Contains(t.Auth, "hmac") {
			signers[t.HMACKeySource]++
		}
	}
	for _, n := range signers {
		if n > 1 {
			b.log.Warn("tenants share an HMAC key: its holder can sign for each of them; authHMACKeySource gives a tenant its own key", "tenants", n)
		}
	}
	if b.cfg.TenantClaim != "" {
		return
	}
	type users struct{ issuer, audience string }
	sharing, most := make(map[users]int), make(map[string]int)
	gateways := 0
	for _, t := range tenants {
		if slices.Contains(t.Auth, "oidc") {
			for _, audience := range t.AuthAudience { // any one suffices
				who := users{t.AuthIssuer, audience}
				sharing[who]++
				most[t.AuthIssuer] = max(most[t.AuthIssuer], sharing[who])
			}
		}
		if slices.Contains(t.Auth, "gateway") {
			gateways++
		}
	}
	for _, n := range most {
		if n > 1 {
			b.log.Warn("tenants that share an issuer and an audience accept each other's users; ORGA_AUTH_TENANT_CLAIM keeps them apart", "tenants", n)
		}
	}
	if gateways > 1 {
		b.log.Warn("tenants that take gateway identities accept each other's users; ORGA_AUTH_TENANT_CLAIM keeps them apart", "tenants", gateways)
	}
}
