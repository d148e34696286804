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

// iamCaller returns the signer of a request, "" for none in particular. A caller chooses the session name in
// the ARN of a role that it assumes, so with it, one caller could pass for many. All users of a Cognito identity
// pool have one role: what tells them apart is their identity in the pool, and guests, who need no
// credential to get one, are nobody.
func iamCaller(iam map[string]any) string {
	cognito := object(iam["cognitoIdentity"])
	if methods, _ := cognito["amr"].([]any); slices.Contains(methods, any("unauthenticated")) {
		return ""
	}
	return cmp.Or(first(cognito, "identityId"), withoutSession(first(iam, "userArn", "userId", "callerId")))
}

// withoutSession cuts the session name off an assumed role's ARN (arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION)
// or unique id (AROA…:SESSION).
func withoutSession(caller string) string {
	if before, role, ok := strings.Cut(caller, ":assumed-role/"); ok {
		role, _, _ = strings.Cut(role, "/")
		return before + ":assumed-role/" + role
	}
	if id, _, ok := strings.Cut(caller, ":"); ok && strings.HasPrefix(id, "AROA") {
		return id
	}
	return caller
}

// identityV1 reads requestContext.authorizer of a REST API: the claims of a Cognito user pool, or what
// a Lambda authorizer said, its context beside the principal.
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

// identityNetlify reads the user that Netlify Identity has verified from the client context.
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

// verified is the identity in the claims of a token.
func verified(claims map[string]any) *platform.Identity {
	return &platform.Identity{Subject: first(claims, "sub"), Issuer: first(claims, "iss"), Claims: claims}
}

// object is v as a JSON object, nil when it is something else or has no member but null ones.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	for _, member := range m {
		if member != nil {
			return m
		}
	}
	return nil
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
