package egress

import (
	"os"
	"path/filepath"
	"runtime"
)

// crypto/x509's certificate locations on Linux: it reads the first of these files that is readable, and then every file
// in these folders.
var (
	certFiles = []string{
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem",
	}
	certFolders = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
)

// ReadAuthoritiesOnce makes crypto/x509 skip the folders if they only repeat the file. On Amazon Linux they are links to
// it, so it would be parsed three times at a cold start. It sets SSL_CERT_DIR for the process, unless SSL_CERT_DIR or
// SSL_CERT_FILE is set. Call it before the first TLS connection.
func ReadAuthoritiesOnce(lookup func(string) (string, bool)) {
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, _ := lookup(name); value != "" {
			return
		}
	}
	if runtime.GOOS == "linux" && foldersRepeat(certFiles, certFolders) {
		_ = os.Setenv("SSL_CERT_DIR", "/nonexistent") // fails only for a malformed name
	}
}

// foldersRepeat reports whether the folders contain nothing but the first readable file.
func foldersRepeat(files, folders []string) bool {
	bundle := ""
	for _, file := range files {
		if f, err := os.Open(file); err == nil {
			_ = f.Close()
			if bundle, err = filepath.EvalSymlinks(file); err != nil {
				return false
			}
			break
		}
	}
	if bundle == "" {
		return false
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil && !os.IsNotExist(err) {
			return false
		}
		for _, entry := range entries {
			if entry.Name() == "ca-bundle.trust.crt" { // the same certificates in OpenSSL's own format, which Go skips
				continue
			}
			if file, err := filepath.EvalSymlinks(filepath.Join(folder, entry.Name())); err != nil || file != bundle {
				return false
			}
		}
	}
	return true
}
