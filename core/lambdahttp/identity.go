package lambdahttp

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/exchange"
)

// identityV2 reads requestContext.authorizer of an HTTP API or a Function URL.
func identityV2(authorizer any) *exchange.Identity {
	a := object(authorizer)
	if claims := object(object(a["jwt"])["claims"]); len(claims) > 0 {
		return verified(claims)
	}
	if context := object(a["lambda"]); len(context) > 0 {
		return &exchange.Identity{Subject: first(context, "principalId", "sub"), Claims: context}
	}
	if iam := object(a["iam"]); len(iam) > 0 {
		return &exchange.Identity{Subject: first(iam, "userArn", "userId", "callerId")}
	}
	return nil
}

// identityV1 reads requestContext.authorizer of a REST API: the claims of a Cognito user pool, or what
// a Lambda authorizer said, its context beside the principal.
func identityV1(authorizer any) *exchange.Identity {
	a := object(authorizer)
	if claims := object(a["claims"]); len(claims) > 0 {
		return verified(claims)
	}
	if principal := first(a, "principalId"); principal != "" {
		return &exchange.Identity{Subject: principal, Claims: a}
	}
	return nil
}

// identityNetlify reads the user that Netlify Identity has verified from the client context.
func identityNetlify(ctx context.Context) *exchange.Identity {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return nil
	}
	text, err := base64.StdEncoding.DecodeString(lc.ClientContext.Custom["netlify"])
	if err != nil {
		return nil
	}
	var custom struct {
		Identity struct {
			URL string `json:"url"`
		} `json:"identity"`
		User map[string]any `json:"user"`
	}
	if err := json.Unmarshal(text, &custom); err != nil || first(custom.User, "sub") == "" {
		return nil
	}
	return &exchange.Identity{Subject: first(custom.User, "sub"), Issuer: custom.Identity.URL, Claims: custom.User}
}

// verified is the identity in the claims of a token.
func verified(claims map[string]any) *exchange.Identity {
	return &exchange.Identity{Subject: first(claims, "sub"), Issuer: first(claims, "iss"), Claims: claims}
}

// object is v as a JSON object, nil when it is something else.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// first is the first of the named members that is a string with something in it.
func first(m map[string]any, names ...string) string {
	for _, name := range names {
		if s, _ := m[name].(string); s != "" {
			return s
		}
	}
	return ""
}
