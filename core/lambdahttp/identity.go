package lambdahttp

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/platform"
)

// identityV2 reads requestContext.authorizer of an HTTP API or a Function URL.
func identityV2(authorizer any) *platform.Identity {
	a := object(authorizer)
	if claims := object(object(a["jwt"])["claims"]); claims != nil {
		return verified(claims)
	}
	if context := object(a["lambda"]); context != nil {
		return &platform.Identity{Subject: first(context, "principalId", "sub"), Claims: context}
	}
	if caller := iamCaller(object(a["iam"])); caller != "" {
		return &platform.Identity{Subject: caller}
	}
	return nil
}

// iamCaller returns the signer of a request, "" if unknown. It omits the names of sessions, because callers choose them, so
// that one caller could pretend to be many. All users of a Cognito identity pool share a role and are
// distinguished by their identity in the pool. Guests of the pool need no credential and have no identity.
func iamCaller(iam map[string]any) string {
	cognito := object(iam["cognitoIdentity"])
	if methods, _ := cognito["amr"].([]any); slices.Contains(methods, any("unauthenticated")) {
		return ""
	}
	return cmp.Or(first(cognito, "identityId"), withoutSession(first(iam, "userArn", "userId", "callerId")))
}

// withoutSession removes the session name from the ARN of an assumed role (arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION)
// or a federated user (arn:aws:sts::ACCOUNT:federated-user/NAME), or from a unique ID (AROA…:SESSION, ACCOUNT:NAME).
func withoutSession(caller string) string {
	if before, _, ok := strings.Cut(caller, ":federated-user/"); ok {
		return before + ":federated-user"
	}
	if before, role, ok := strings.Cut(caller, ":assumed-role/"); ok {
		role, _, _ = strings.Cut(role, "/")
		return before + ":assumed-role/" + role
	}
	if id, _, ok := strings.Cut(caller, ":"); ok && id != "arn" {
		return id
	}
	return caller
}

// identityV1 reads requestContext.authorizer of a REST API: the claims of a Cognito user pool, or the principal and
// context from a Lambda authorizer.
func identityV1(authorizer any) *platform.Identity {
	a := object(authorizer)
	if claims := object(a["claims"]); claims != nil {
		return verified(claims)
	}
	if principal := first(a, "principalId"); principal != "" {
		return &platform.Identity{Subject: principal, Claims: a}
	}
	return nil
}

// identityNetlify reads the user verified by Netlify Identity from the client context.
func identityNetlify(ctx context.Context) *platform.Identity {
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
	return &platform.Identity{Subject: first(custom.User, "sub"), Issuer: custom.Identity.URL, Claims: custom.User}
}

// verified returns the identity in a token's claims.
func verified(claims map[string]any) *platform.Identity {
	return &platform.Identity{Subject: first(claims, "sub"), Issuer: first(claims, "iss"), Claims: claims}
}

// object returns v if it is a JSON object with at least one member that is not null; else nil.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	for _, member := range m {
		if member != nil {
			return m
		}
	}
	return nil
}

// first returns the first of the named members that is a non-empty string.
func first(m map[string]any, names ...string) string {
	for _, name := range names {
		if s, _ := m[name].(string); s != "" {
			return s
		}
	}
	return ""
}
