package access_test

import (
	"log"
	"log/slog"
	"net/http"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
)

// Middleware for an issuer whose tokens name the user's tenant.
func ExampleRequire() {
	issuers := &auth.Issuers{}
	oidc, err := access.OIDC(issuers, auth.OIDCConfig{
		Issuer:    "https://example.eu.auth0.com/",
		Audiences: []string{"https://voice.example"},
		Claims:    []string{"org_id"},
	})
	if err != nil {
		log.Fatal(err)
	}
	claim := &access.TenantClaim{Name: "org_id", Log: slog.Default()}
	mint := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}) // your handler

	require := access.Require(access.Options{Methods: []access.Method{oidc}, Claim: claim, Tenant: "acme", ClaimValue: "org_2abC"})
	http.Handle("/acme", require(mint))
}
