package secrettest_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/secret/secrettest"
)

func TestLeak(t *testing.T) {
	const key = "sk_orga_ai_test/+?~>canary"
	for _, tt := range []struct{ output, want string }{
		{"nothing of it", ""},
		{"", ""},
		{"sk_orga_ai_test", ""},
		{"[redacted]", ""},
		{"key=" + key + ";", "plain text"},
		{hex.EncodeToString([]byte("Bearer " + key)), "hex"},
		{strings.ToUpper(hex.EncodeToString([]byte(key))), "hex"},
		{url.QueryEscape(key), "an escaped URL"},
	} {
		if got := secrettest.Leak(tt.output, key); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.output, got, tt.want)
		}
	}
	for shift := range 7 {
		text := []byte(strings.Repeat("x", shift) + key + strings.Repeat("y", 7-shift))
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			if got := secrettest.Leak("a "+encoding.EncodeToString(text), key); got != "base64" {
				t.Errorf("base64 with %d bytes before the key: %q", shift, got)
			}
		}
	}
	if got := secrettest.Leak(base64.StdEncoding.EncodeToString([]byte("another key of that length")), key); got != "" {
		t.Errorf("another key: %q", got)
	}
}

// The fakes refuse the same requests as the real stores, with their status and error code.
func TestFakesAreStrict(t *testing.T) {
	aws := &secrettest.AWS{AccessKeyID: "AKIATEST", Region: "eu-central-1"}
	google := &secrettest.Google{AccessToken: "granted"}
	aws.Put("orga", "content")
	google.Put("projects/p/secrets/s", []byte("content"))
	signed := func(key, region, service string) string {
		return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/20261124/%s/%s/aws4_request, SignedHeaders=host;x-amz-date, Signature=%s", key, region, service, strings.Repeat("0", 64))
	}
	good := signed("AKIATEST", "eu-central-1", "secretsmanager")
	for _, tt := range []struct {
		name   string
		store  http.Handler
		method string
		path   string
		target string
		auth   string
		body   string
		want   string
	}{
		{"as it should be", aws, "POST", "/", "secretsmanager.GetSecretValue", good, `{"SecretId":"orga"}`, `200`},
		{"by ARN", aws, "POST", "/", "secretsmanager.GetSecretValue", good, `{"SecretId":"` + aws.ARN("eu-west-1", "orga") + `"}`, `200`},
		{"nothing is AWSPENDING", aws, "POST", "/", "secretsmanager.GetSecretValue", good, `{"SecretId":"orga","VersionStage":"AWSPENDING"}`, `400 ResourceNotFoundException`},
		{"another version", aws, "POST", "/", "secretsmanager.GetSecretValue", good, `{"SecretId":"orga","VersionId":"x"}`, `400 ResourceNotFoundException`},
		{"another operation", aws, "POST", "/", "secretsmanager.ListSecrets", good, `{}`, `400 UnknownOperationException`},
		{"not signed", aws, "POST", "/", "secretsmanager.GetSecretValue", "", `{"SecretId":"orga"}`, `400 MissingAuthenticationTokenException`},
		{"signed for another service", aws, "POST", "/", "secretsmanager.GetSecretValue", signed("AKIATEST", "eu-central-1", "ssm"), `{"SecretId":"orga"}`, `400 MissingAuthenticationTokenException`},
		{"signed by another", aws, "POST", "/", "secretsmanager.GetSecretValue", signed("AKIAOTHER", "eu-central-1", "secretsmanager"), `{"SecretId":"orga"}`, `400 UnrecognizedClientException`},
		{"signed for another region", aws, "POST", "/", "secretsmanager.GetSecretValue", signed("AKIATEST", "eu-west-1", "secretsmanager"), `{"SecretId":"orga"}`, `400 InvalidSignatureException`},
		{"no JSON", aws, "POST", "/", "secretsmanager.GetSecretValue", good, `orga`, `400 SerializationException`},
		{"as it should be", google, "GET", "/v1/projects/p/secrets/s/versions/latest:access", "", "Bearer granted", "", `200`},
		{"without a token", google, "GET", "/v1/projects/p/secrets/s/versions/latest:access", "", "", "", `401 UNAUTHENTICATED`},
		{"another path", google, "GET", "/v1/projects/p/secrets/s", "", "Bearer granted", "", `404 NOT_FOUND`},
		{"another version", google, "GET", "/v1/projects/p/secrets/s/versions/2:access", "", "Bearer granted", "", `404 NOT_FOUND`},
	} {
		t.Run(fmt.Sprintf("%T: %s", tt.store, tt.name), func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Authorization", tt.auth)
			r.Header.Set("X-Amz-Target", tt.target)
			r.Header.Set("X-Amz-Date", "20261124T000000Z")
			w := httptest.NewRecorder()
			tt.store.ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Body) // it is in memory
			status, name, _ := strings.Cut(tt.want, " ")
			if fmt.Sprint(w.Code) != status || !strings.Contains(string(body), name) {
				t.Errorf("%d %s, want %s", w.Code, body, tt.want)
			}
		})
	}
	if aws.Calls() != 4 || google.Calls() != 2 {
		t.Errorf("%d and %d calls counted, want 4 and 2: only authenticated requests count", aws.Calls(), google.Calls())
	}
}
