package auth_test

import (
	"net/http"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

const mintPath = "/api/orga-client-secrets"

// behind wraps next in a verifier of tokens.
func behind(v auth.Verifier, next http.Handler) http.Handler {
	return access.Require(access.Options{Methods: []access.Method{{Name: "oidc", Scheme: "Bearer", Verifier: v}}})(next)
}

// whole returns a chain with only a verifier of tokens.
func whole(v auth.Verifier) (http.Handler, *requesttest.Minted) {
	m := new(requesttest.Minted)
	return behind(v, m), m
}
