package access

import (
	"net/http"

	"github.com/orga-session/orga-session/core/auth"
	"github.com/orga-session/orga-session/core/platform"
)

// Gateway accepts callers verified by the platform in front: an API Gateway authorizer, IAM on a Function URL, or IAM on
// Cloud Run. Adapters read the identity from the event's envelope, which no client can write, never from headers.
func Gateway() Method {
	return Method{Name: "gateway", Verifier: auth.VerifierFunc(func(r *http.Request) (auth.Principal, error) {
		id := platform.From(r.Context()).Identity
		if id == nil {
			return auth.Principal{}, auth.ErrNoCredential
		}
		return auth.Principal{Subject: id.Subject, Issuer: id.Issuer, Claims: id.Claims}, nil
	})}
}
