package auth_test

import (
	"net/http"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/internal/request/requesttest"
)

// whole makes a chain of methods alone.
func whole(methods ...auth.Method) (http.Handler, *requesttest.Minted) {
	m := new(requesttest.Minted)
	return auth.Require(auth.Options{Methods: methods})(m), m
}
