package access_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/access"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

// whole returns a chain with only these methods.
func whole(methods ...access.Method) (http.Handler, *requesttest.Minted) {
	m := new(requesttest.Minted)
	return access.Require(access.Options{Methods: methods})(m), m
}

// oidc is a method for an unreachable issuer.
func oidc(t testing.TB) access.Method {
	t.Helper()
	method, err := access.OIDC(&auth.Issuers{Transport: unreachable{}}, auth.OIDCConfig{Issuer: "https://id.example", Audiences: []string{"orga-test"}})
	if err != nil {
		t.Fatal(err)
	}
	return method
}

// unreachable is a transport that always fails.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("unreachable")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
