package auth

import (
	"net/http"

	"github.com/orga-session/orga-session/core/platform"
)

// Gateway accepts callers that the platform in front of us has verified: an API Gateway authorizer,
// IAM on a Function URL, IAM on Cloud Run. Adapters read such an identity from the event's own
// envelope, so that no header of the client's can make one.
func Gateway() Verifier {
	return VerifierFunc(func(r *http.Request) (Principal, error) {
		id := platform.From(r.Context()).Identity
		if id == nil {
			return Principal{}, ErrNoCredential
		}
		return Principal{Subject: id.Subject, Issuer: id.Issuer, Claims: id.Claims}, nil
	})
}
