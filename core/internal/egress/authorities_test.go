package egress

import (
	"os"
	"path/filepath"
	"testing"
)

// The folders are skipped only if all of their files repeat the bundle: an owner's additional certificates count.
func TestFoldersRepeat(t *testing.T) {
	for name, tt := range map[string]struct {
		files, links map[string]string // link → target
		want         bool
	}{
		"Amazon Linux": {
			map[string]string{"pki/ca-trust/tls-ca-bundle.pem": "", "pki/ca-trust/ca-bundle.trust.crt": ""},
			map[string]string{
				"pki/tls/certs/ca-bundle.crt":       "pki/ca-trust/tls-ca-bundle.pem",
				"pki/tls/certs/ca-bundle.trust.crt": "pki/ca-trust/ca-bundle.trust.crt",
				"ssl/certs":                         "pki/tls/certs",
			}, true},
		"distroless": {map[string]string{"ssl/certs/ca-certificates.crt": ""}, nil, true},
		"Debian":     {map[string]string{"ssl/certs/ca-certificates.crt": "", "ssl/certs/one.pem": ""}, nil, false},
		"a private authority": {
			map[string]string{"pki/ca-trust/tls-ca-bundle.pem": "", "pki/tls/certs/own.pem": ""},
			map[string]string{"pki/tls/certs/ca-bundle.crt": "pki/ca-trust/tls-ca-bundle.pem"}, false},
		"a link to something else": {
			map[string]string{"ssl/certs/ca-certificates.crt": "", "own.pem": ""},
			map[string]string{"ssl/certs/own.pem": "own.pem"}, false},
		"a broken link":  {map[string]string{"ssl/certs/ca-certificates.crt": ""}, map[string]string{"ssl/certs/own.pem": "nowhere"}, false},
		"folders alone":  {map[string]string{"ssl/certs/one.pem": ""}, nil, false},
		"nothing at all": {nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			place := func(path string) string {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				return path
			}
			for path := range tt.files {
				if err := os.WriteFile(place(path), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for path, target := range tt.links {
				if err := os.Symlink(filepath.Join(root, target), place(path)); err != nil {
					t.Skip(err)
				}
			}
			in := func(paths ...string) (all []string) {
				for _, path := range paths {
					all = append(all, filepath.Join(root, path))
				}
				return all
			}
			files := in("ssl/certs/ca-certificates.crt", "pki/tls/certs/ca-bundle.crt")
			if got := foldersRepeat(files, in("ssl/certs", "pki/tls/certs")); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// A variable set by the owner is not changed.
func TestReadAuthoritiesOnceKeepsVariables(t *testing.T) {
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		t.Setenv("SSL_CERT_DIR", "")
		before := certFiles
		certFiles = []string{filepath.Join(t.TempDir(), "bundle.pem")}
		if err := os.WriteFile(certFiles[0], nil, 0o600); err != nil {
			t.Fatal(err)
		}
		folders := certFolders
		certFolders = nil
		ReadAuthoritiesOnce(func(asked string) (string, bool) { return "/own", asked == name })
		certFiles, certFolders = before, folders
		if got := os.Getenv("SSL_CERT_DIR"); got != "" {
			t.Errorf("with %s, SSL_CERT_DIR is %q", name, got)
		}
	}
}
