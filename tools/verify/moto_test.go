package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// motoStore is one secret in a Secrets Manager that others have written.
type motoStore struct{ url, name string }

func (m motoStore) Source() secret.Source {
	env := map[string]string{
		"AWS_REGION": region, "AWS_ACCESS_KEY_ID": "verify", "AWS_SECRET_ACCESS_KEY": "none", "AWS_ENDPOINT_URL_SECRETS_MANAGER": m.url,
	}
	open := awssm.Open(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, true)
	src, err := open(secret.Ref{Scheme: "awssm", Name: m.name})
	if err != nil {
		panic(err)
	}
	return src
}

func (m motoStore) Put(t testing.TB, content string) {
	t.Helper()
	if m.call(t, "CreateSecret", map[string]any{"Name": m.name, "SecretString": content}) != http.StatusOK {
		if status := m.call(t, "PutSecretValue", map[string]any{"SecretId": m.name, "SecretString": content}); status != http.StatusOK {
			t.Fatalf("moto stores nothing: %d", status)
		}
	}
}

func (m motoStore) Delete(t testing.TB) {
	t.Helper()
	if status := m.call(t, "DeleteSecret", map[string]any{"SecretId": m.name}); status != http.StatusOK {
		t.Fatalf("moto deletes nothing: %d", status)
	}
}

func (m motoStore) call(t testing.TB, action string, input map[string]any) int {
	t.Helper()
	body, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, m.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager."+action)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=verify/20260101/"+region+"/secretsmanager/aws4_request, SignedHeaders=host, Signature=none")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// TestMoto runs where make verify has started moto.
func TestMoto(t *testing.T) {
	url, ok := os.LookupEnv("VERIFY_MOTO")
	if !ok {
		t.Skip("make verify runs this, with moto")
	}
	secrettest.Conformance(t, func(t *testing.T) secrettest.Store {
		return motoStore{url, "conformance/" + t.Name()}
	})
}
