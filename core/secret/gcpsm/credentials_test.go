package gcpsm

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

const name = "projects/orga-test/secrets/api-key"

// issuer is a fake of the metadata server and of Google's token endpoint; both answer with body.
func issuer(t *testing.T, status int, body string) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/computeMetadata/") && r.Header.Get("Metadata-Flavor") != "Google" {
			status = http.StatusForbidden
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// serviceAccount returns a key file whose tokens come from tokenURL.
func serviceAccount(t *testing.T, tokenURL string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "orga@orga-test.example", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri":   tokenURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, file, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const granted = `{"access_token":"granted-to-the-test","expires_in":3599,"token_type":"Bearer"}`

// Requests over https need an access token; these are its sources.
func TestCredentials(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T) map[string]string // the environment
		fails   error                                // nil for an outage
		says    string                               // "" when the secret must come
	}{
		{"the metadata server", func(t *testing.T) map[string]string {
			t.Setenv("GCE_METADATA_HOST", issuer(t, 200, granted).Listener.Addr().String())
			return nil
		}, nil, ""},
		{"a file that is named", func(t *testing.T) map[string]string {
			file := write(t, t.TempDir()+"/credentials.json", serviceAccount(t, issuer(t, 200, granted).URL))
			return map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": file}
		}, nil, ""},
		{"gcloud's file in the home folder", func(t *testing.T) map[string]string {
			home, variable, folder := t.TempDir(), "HOME", "/.config/gcloud"
			if runtime.GOOS == "windows" {
				variable, folder = "APPDATA", "/gcloud"
			}
			write(t, home+folder+"/application_default_credentials.json", serviceAccount(t, issuer(t, 200, granted).URL))
			return map[string]string{variable: home}
		}, nil, ""},
		{"the metadata server knows no account", func(t *testing.T) map[string]string {
			t.Setenv("GCE_METADATA_HOST", issuer(t, 404, "no account granted-to-the-test").Listener.Addr().String())
			return nil
		}, nil, "no service account"},
		{"the metadata server refuses", func(t *testing.T) map[string]string {
			t.Setenv("GCE_METADATA_HOST", issuer(t, 403, "not you, granted-to-the-test").Listener.Addr().String())
			return nil
		}, secret.ErrPermanent, "HTTP 403"},
		{"the metadata server sends something else", func(t *testing.T) map[string]string {
			t.Setenv("GCE_METADATA_HOST", issuer(t, 200, "<html>granted-to-the-test").Listener.Addr().String())
			return nil
		}, nil, "no access token"},
		{"the metadata server sends JSON without a token", func(t *testing.T) map[string]string {
			t.Setenv("GCE_METADATA_HOST", issuer(t, 200, `{"expires_in":3599}`).Listener.Addr().String())
			return nil
		}, nil, "sent no access token"},
		{"an account that was deleted", func(t *testing.T) map[string]string {
			file := write(t, t.TempDir()+"/credentials.json", serviceAccount(t, issuer(t, 400, `{"error":"invalid_grant","error_description":"granted-to-the-test"}`).URL))
			return map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": file}
		}, secret.ErrPermanent, "HTTP 400"},
		{"a token that the store does not know", func(t *testing.T) map[string]string {
			t.Setenv("GCE_METADATA_HOST", issuer(t, 200, `{"access_token":"another"}`).Listener.Addr().String())
			return nil
		}, nil, "HTTP 401 UNAUTHENTICATED"},
		{"a file that is not there", func(*testing.T) map[string]string {
			return map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/credentials.json"}
		}, secret.ErrMisconfigured, "cannot be read"},
		{"a file of something else", func(t *testing.T) map[string]string {
			return map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": write(t, t.TempDir()+"/credentials.json", "granted-to-the-test")}
		}, secret.ErrMisconfigured, "want Google credentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := &secrettest.Google{AccessToken: "granted-to-the-test"}
			fake.Put(name, []byte("content"))
			srv := httptest.NewTLSServer(fake)
			defer srv.Close()
			env := tt.prepare(t)
			src, err := open(func(n string) (string, bool) {
				if n == "ORGA_GCPSM_ENDPOINT" {
					return srv.URL, true
				}
				v, ok := env[n]
				return v, ok
			}, srv.Client())(secret.Ref{Scheme: "gcpsm", Name: name})
			var got secret.Secret
			if err == nil {
				got, err = src.Fetch(t.Context())
			}
			if tt.says == "" {
				if err != nil || got.Value.Reveal() != "content" {
					t.Fatalf("Fetch: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("the error is %v; want one that says %q", err, tt.says)
			}
			for _, kind := range []error{secret.ErrPermanent, secret.ErrMisconfigured} {
				if errors.Is(err, kind) != errors.Is(tt.fails, kind) {
					t.Errorf("the error is %v", err)
				}
			}
			if how := secrettest.Leak(fmt.Sprintf("%v %+v %#v", err, err, err), "granted-to-the-test"); how != "" {
				t.Errorf("the error holds the access token in %s", how)
			}
		})
	}
}

// All faults of the settings are reported together.
func TestAllFaultsAtOnce(t *testing.T) {
	env := map[string]string{"ORGA_GCPSM_ENDPOINT": "store.example", "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/credentials.json"}
	_, err := Open(func(n string) (string, bool) { v, ok := env[n]; return v, ok })(secret.Ref{Name: "secrets/s"})
	for _, says := range []string{"projects/P/secrets/S", "ORGA_GCPSM_ENDPOINT", "Google's credentials cannot be read"} {
		if !errors.Is(err, secret.ErrMisconfigured) || !strings.Contains(err.Error(), says) {
			t.Errorf("the error is %v; want one that says %q", err, says)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, tt := range []struct{ name, endpoint, asks string }{
		{"projects/p/secrets/s", "", "https://secretmanager.googleapis.com/v1/projects/p/secrets/s/versions/latest:access"},
		{"projects/123/secrets/s/versions/7", "", "https://secretmanager.googleapis.com/v1/projects/123/secrets/s/versions/7:access"},
		{"projects/example.com:p/secrets/s", "", "https://secretmanager.googleapis.com/v1/projects/example.com:p/secrets/s/versions/latest:access"},
		{"projects/p/locations/europe-west3/secrets/s", "", "https://secretmanager.europe-west3.rep.googleapis.com/v1/projects/p/locations/europe-west3/secrets/s/versions/latest:access"},
		{"projects/p/secrets/s", "https://psc.example/", "https://psc.example/v1/projects/p/secrets/s/versions/latest:access"},
		{"projects/p/secrets/s", "http://localhost:8080", "http://localhost:8080/v1/projects/p/secrets/s/versions/latest:access"},
		{"projects/p/secrets/s", "http://[::1]:8080", "http://[::1]:8080/v1/projects/p/secrets/s/versions/latest:access"},
		{"projects/p/secrets/s", "\thttps://psc.example\n", "https://psc.example/v1/projects/p/secrets/s/versions/latest:access"},
		{"projects/p/secrets/s", " \n", "https://secretmanager.googleapis.com/v1/projects/p/secrets/s/versions/latest:access"},
		{"projects/p/secrets/s", "http://store.example", ""},
		{"projects/p/secrets/s", "http://127.0.0.1.example", ""},
		{"projects/p/secrets/s", "https://", ""},
		{"projects/p/secrets/s", "https://:443", ""},
		{"projects/p/secrets/s", "https://user:word@store.example", ""},
		{"projects/p/secrets/s", "secretmanager.googleapis.com", ""},
		{"secrets/s", "", ""},
		{"projects/p/secrets/s/versions/", "", ""},
		{"projects/p/secrets/s/versions/7:destroy", "", ""},
		{"projects/p/secrets/s?x=", "", ""},
		{"projects/p/locations/evil.example/secrets/s", "", ""},
		{"projects/../secrets/s", "", ""},
	} {
		t.Run(tt.name+" at "+tt.endpoint, func(t *testing.T) {
			var asked string
			client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(granted))}
				if r.URL.Host != "169.254.169.254" {
					asked, resp.StatusCode = r.URL.String(), 404
				}
				return resp, nil
			})}
			env := map[string]string{"ORGA_GCPSM_ENDPOINT": tt.endpoint}
			src, err := open(func(n string) (string, bool) { v, ok := env[n]; return v, ok }, client)(secret.Ref{Name: tt.name})
			if tt.asks == "" {
				if !errors.Is(err, secret.ErrMisconfigured) {
					t.Fatalf("the error is %v, not ErrMisconfigured", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, _ = src.Fetch(t.Context())
			if asked != tt.asks {
				t.Errorf("asked %s", asked)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
