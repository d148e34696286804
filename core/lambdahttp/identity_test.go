package lambdahttp_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/core/platform"
)

// identity returns the caller's identity in the handler as JSON; "null" if the platform verified nobody.
func identity(t *testing.T, ctx context.Context, kind, patch string) string {
	t.Helper()
	r := seen(t, ctx, kind, read(t, kind, patch))
	b, err := json.Marshal(platform.From(r.Context()).Identity)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// authorizer returns a patch that sets requestContext.authorizer.
func authorizer(json string) string { return `{"requestContext":{"authorizer":` + json + `}}` }

func TestIdentity(t *testing.T) {
	const claims = `{"sub":"ada","iss":"https://issuer.example","tenant":"acme"}`
	const fromClaims = `{"Subject":"ada","Issuer":"https://issuer.example","Claims":{"iss":"https://issuer.example","sub":"ada","tenant":"acme"}}`
	const pooled = `{"callerId":"AROAEXAMPLE:CognitoIdentityCredentials","userId":"AROAEXAMPLE:CognitoIdentityCredentials","userArn":"arn:of-a-role",` +
		`"cognitoIdentity":{"amr":["authenticated"],"identityId":"eu-central-1:ada","identityPoolId":"eu-central-1:pool"}}`
	tests := []struct{ name, kind, patch, want string }{
		{"HTTP API: JWT authorizer", "httpapi", authorizer(`{"jwt":{"claims":` + claims + `,"scopes":null}}`), fromClaims},
		{"HTTP API: Lambda authorizer", "httpapi", authorizer(`{"lambda":{"sub":"ada","tenant":"acme"}}`), `{"Subject":"ada","Issuer":"","Claims":{"sub":"ada","tenant":"acme"}}`},
		{"HTTP API: Lambda authorizer that names nobody", "httpapi", authorizer(`{"lambda":{"plan":7}}`), `{"Subject":"","Issuer":"","Claims":{"plan":7}}`},
		{"HTTP API: IAM", "httpapi", authorizer(`{"iam":{"accountId":"000000000000","userArn":"arn:aws:iam::000000000000:user/ada","cognitoIdentity":null}}`), `{"Subject":"arn:aws:iam::000000000000:user/ada","Issuer":"","Claims":null}`},
		{"HTTP API: IAM by an identity pool, whose users share a role", "httpapi", authorizer(`{"iam":` + pooled + `}`), `{"Subject":"eu-central-1:ada","Issuer":"","Claims":null}`},
		{"HTTP API: IAM by an identity pool that names nobody", "httpapi", authorizer(`{"iam":{"userArn":"arn:of-a-role","cognitoIdentity":{"identityId":""}}}`), `{"Subject":"arn:of-a-role","Issuer":"","Claims":null}`},
		{"HTTP API: IAM by a guest of an identity pool", "httpapi", authorizer(`{"iam":{"userArn":"arn:aws:sts::000000000000:assumed-role/guests/CognitoIdentityCredentials","cognitoIdentity":{"amr":["unauthenticated"],"identityId":"eu-central-1:guest"}}}`), `null`},
		{"HTTP API: IAM by an assumed role", "httpapi", authorizer(`{"iam":{"userArn":"arn:aws:sts::000000000000:assumed-role/app/session-17","userId":"AROAEXAMPLE:session-17"}}`), `{"Subject":"arn:aws:sts::000000000000:assumed-role/app","Issuer":"","Claims":null}`},
		{"Function URL: IAM by an assumed role, known by its id alone", "functionurl", authorizer(`{"iam":{"userId":"AROAEXAMPLE:session-17"}}`), `{"Subject":"AROAEXAMPLE","Issuer":"","Claims":null}`},
		{"Function URL: IAM by a federated user", "functionurl", authorizer(`{"iam":{"userArn":"arn:aws:sts::000000000000:federated-user/ada","userId":"000000000000:ada"}}`), `{"Subject":"arn:aws:sts::000000000000:federated-user","Issuer":"","Claims":null}`},
		{"Function URL: IAM by a federated user, known by its id alone", "functionurl", authorizer(`{"iam":{"userId":"000000000000:ada"}}`), `{"Subject":"000000000000","Issuer":"","Claims":null}`},
		{"HTTP API: IAM that names nobody", "httpapi", authorizer(`{"iam":{"accountId":"000000000000","userArn":"","userId":"","callerId":""}}`), `null`},
		{"HTTP API: no authorizer", "httpapi", ``, `null`},
		{"HTTP API: empty objects", "httpapi", authorizer(`{"jwt":{"claims":{}},"lambda":{},"iam":{}}`), `null`},
		{"HTTP API: no objects", "httpapi", authorizer(`{"jwt":{"claims":[]},"lambda":[],"iam":0}`), `null`},
		{"HTTP API: principalId is a REST API's", "httpapi", authorizer(`{"principalId":"ada"}`), `null`},
		{"Function URL: IAM", "functionurl", authorizer(`{"iam":{"userId":"AIDAEXAMPLE","userArn":""}}`), `{"Subject":"AIDAEXAMPLE","Issuer":"","Claims":null}`},
		{"Function URL: none", "functionurl", ``, `null`},
		{"REST API: claims", "restapi", authorizer(`{"claims":` + claims + `}`), fromClaims},
		{"REST API: Lambda authorizer", "restapi", authorizer(`{"principalId":"ada","tenant":"acme","integrationLatency":3}`), `{"Subject":"ada","Issuer":"","Claims":{"integrationLatency":3,"principalId":"ada","tenant":"acme"}}`},
		{"REST API: an HTTP API in format 1.0", "restapi", authorizer(`{"claims":` + claims + `,"scopes":["mint"]}`), fromClaims},
		{"REST API: an empty object", "restapi", authorizer(`{}`), `null`},
		{"REST API: neither claims nor a principal", "restapi", authorizer(`{"claims":{},"principalId":"","integrationLatency":3}`), `null`},
		{"REST API: jwt is an HTTP API's", "restapi", authorizer(`{"jwt":{"claims":` + claims + `}}`), `null`},
		{"no object", "restapi", authorizer(`"admin"`), `null`},
		{"ALB: none ever", "alb", authorizer(`{"principalId":"ada","claims":` + claims + `}`), `null`},
		{"Netlify: not from the event", "netlify", `{"requestContext":{"authorizer":{"principalId":"ada"},"identity":{"url":"u"},"user":{"sub":"ada"},"custom":{"netlify":"e30="}}}`, `null`},
		{"fault 24: headers make none (ALB)", "alb", `{"headers":{"x-amzn-oidc-identity":"ada","x-amzn-oidc-data":"a.b.c","x-authorizer":"ada"}}`, `null`},
		{"fault 24: headers make none (HTTP API)", "httpapi", `{"headers":{"x-amzn-oidc-identity":"ada","lambda-runtime-client-context":"{}","x-amz-client-context":"e30="}}`, `null`},
		{"fault 24: headers make none (Netlify)", "netlify", `{"multiValueHeaders":{"authorization":["Bearer a.b.c"],"x-amz-client-context":["e30="],"x-nf-user":["ada"]}}`, `null`},
	}
	for _, tt := range tests {
		if got := identity(t, t.Context(), tt.kind, tt.patch); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// An object with only null members counts as empty.
func TestIdentityOfNulls(t *testing.T) {
	const (
		v2 = `{"rawPath":"/","requestContext":{"http":{"method":"GET"},"authorizer":%s}}`
		v1 = `{"httpMethod":"GET","path":"/","requestContext":{"authorizer":%s}}`
	)
	tests := []struct{ event, authorizer, want string }{
		{v2, `null`, `null`},
		{v2, `{"jwt":null,"lambda":null,"iam":null}`, `null`},
		{v2, `{"jwt":{"claims":{"sub":null,"iss":null},"scopes":null}}`, `null`},
		{v2, `{"lambda":{"k":null,"l":null}}`, `null`},
		{v2, `{"lambda":{"k":null,"plan":7}}`, `{"Subject":"","Issuer":"","Claims":{"k":null,"plan":7}}`},
		{v2, `{"iam":{"accountId":null,"callerId":null,"cognitoIdentity":null,"userArn":null,"userId":null}}`, `null`},
		{v2, `{"iam":{"accountId":"000000000000","cognitoIdentity":{"identityId":null},"userArn":null}}`, `null`},
		{v2, `{"jwt":{"claims":{"sub":null}},"lambda":{"k":null},"iam":{"userArn":"arn:ada"}}`, `{"Subject":"arn:ada","Issuer":"","Claims":null}`},
		{v1, `{"claims":{"sub":null}}`, `null`},
		{v1, `{"principalId":null,"k":null}`, `null`},
	}
	for _, tt := range tests {
		r := seen(t, t.Context(), "httpapi", fmt.Appendf(nil, tt.event, tt.authorizer))
		got, err := json.Marshal(platform.From(r.Context()).Identity)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.authorizer, got, err, tt.want)
		}
	}
}

func TestNetlifyIdentity(t *testing.T) {
	const instance = `"identity":{"url":"https://site.example/.netlify/identity","token":"an admin's, not the user's"}`
	tests := []struct{ name, custom, want string }{
		{"a verified user", `{` + instance + `,"user":{"sub":"ada","email":"ada@site.example"}}`, `{"Subject":"ada","Issuer":"https://site.example/.netlify/identity","Claims":{"email":"ada@site.example","sub":"ada"}}`},
		{"nobody, or a token that does not hold", `{` + instance + `,"site_url":"https://site.example"}`, `null`},
		{"an empty user", `{` + instance + `,"user":{}}`, `null`},
		{"a user without a subject", `{` + instance + `,"user":{"email":"ada@site.example"}}`, `null`},
		{"no object", `"ada"`, `null`},
		{"nothing", ``, `null`},
	}
	for _, tt := range tests {
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{ClientContext: lambdacontext.ClientContext{
			Custom: map[string]string{"netlify": base64.StdEncoding.EncodeToString([]byte(tt.custom))},
		}})
		if got := identity(t, ctx, "netlify", ""); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if got := identity(t, ctx, "httpapi", ""); got != "null" {
			t.Errorf("%s: on AWS, where any invoker can write the client context, got %s", tt.name, got)
		}
	}
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{ClientContext: lambdacontext.ClientContext{
		Custom: map[string]string{"netlify": "no base64"},
	}})
	if got := identity(t, ctx, "netlify", ""); got != "null" {
		t.Errorf("no base64: got %s", got)
	}
}

// fault 63: 50 session names of one role are one caller.
func TestSessionsOfARole(t *testing.T) {
	subjects := make(map[string]bool)
	for i := range 50 {
		patch := fmt.Sprintf(`{"requestContext":{"authorizer":{"iam":{"userArn":"arn:aws-cn:sts::000000000000:assumed-role/app/%d","userId":"AROAEXAMPLE:%d"}}}}`, i, i)
		subjects[identity(t, t.Context(), "httpapi", patch)] = true
	}
	if len(subjects) != 1 {
		t.Errorf("%d callers: %v", len(subjects), subjects)
	}
}
