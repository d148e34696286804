package main

import (
	"os"
	"testing"

	"github.com/orga-session/orga-session/core/ratelimit"
	"github.com/orga-session/orga-session/core/ratelimit/dynamolimit"
	"github.com/orga-session/orga-session/core/ratelimit/ratelimittest"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/awssm"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// motoStore is a secret in an independent implementation of Secrets Manager.
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
	if m.call(t, "CreateSecret", map[string]any{"Name": m.name, "SecretString": content}) != nil {
		if err := m.call(t, "PutSecretValue", map[string]any{"SecretId": m.name, "SecretString": content}); err != nil {
			t.Fatal(err)
		}
	}
}

func (m motoStore) Delete(t testing.TB) {
	t.Helper()
	if err := m.call(t, "DeleteSecret", map[string]any{"SecretId": m.name}); err != nil {
		t.Fatal(err)
	}
}

func (m motoStore) call(t testing.TB, action string, input map[string]any) error {
	return callAWS(t.Context(), m.url, "secretsmanager."+action, input, new(any))
}

// TestMoto runs only if make verify has started moto.
func TestMoto(t *testing.T) {
	url, ok := os.LookupEnv("VERIFY_MOTO")
	if !ok {
		t.Skip("make verify runs this, with moto")
	}
	secrettest.Conformance(t, func(t *testing.T) secrettest.Store {
		return motoStore{url, "conformance/" + t.Name()}
	})
}

// limitsTable is the table of TestMotoLimits.
const limitsTable = "conformance-limits"

func TestMain(m *testing.M) { ratelimittest.Main(m, openLimits) }

// openLimits opens the table at an address.
func openLimits(address string) (ratelimit.Limiter, error) {
	env := map[string]string{
		"ORGA_AWS_REGION": region, "ORGA_AWS_ACCESS_KEY_ID": "verify", "ORGA_AWS_SECRET_ACCESS_KEY": "none", "AWS_ENDPOINT_URL_DYNAMODB": address,
	}
	return dynamolimit.Open(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, false)("dynamodb:" + limitsTable)
}

// TestMotoLimits runs only if make verify has started moto, behind a proxy that serializes writes.
func TestMotoLimits(t *testing.T) {
	url, ok := os.LookupEnv("VERIFY_MOTO")
	if !ok {
		t.Skip("make verify runs this, with moto")
	}
	if err := createTable(t.Context(), url, limitsTable); err != nil {
		t.Fatal(err)
	}
	l, err := openLimits(url)
	if err != nil {
		t.Fatal(err)
	}
	ratelimittest.Test(t, ratelimittest.Harness{Open: func(*testing.T) ratelimit.Limiter { return l }, Setting: url})
}
