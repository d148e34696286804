//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
)

// writeAuthorities creates the certificate authorities below etc as on Amazon Linux: one bundle, and two folders (one a link
// to the other) with links to it and to a bundle in OpenSSL's own format. crypto/x509 reads the bundle and then every file in
// both folders.
func writeAuthorities(etc string, authority []byte) error {
	bundle, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt") // Debian's
	if err != nil {
		if bundle, err = os.ReadFile("/etc/pki/tls/certs/ca-bundle.crt"); err != nil {
			return err
		}
	}
	bundle = append(bytes.Clone(authority), bundle...)
	certs, extracted := filepath.Join(etc, "pki/tls/certs"), filepath.Join(etc, "pki/ca-trust/extracted")
	for _, dir := range []string{certs, extracted, filepath.Join(etc, "ssl")} {
		err = errors.Join(err, os.MkdirAll(dir, 0o755))
	}
	return errors.Join(err,
		os.WriteFile(filepath.Join(extracted, "tls-ca-bundle.pem"), bundle, 0o644),
		os.WriteFile(filepath.Join(extracted, "ca-bundle.trust.crt"), bytes.ReplaceAll(bundle, []byte(" CERTIFICATE-"), []byte(" TRUSTED CERTIFICATE-")), 0o644),
		os.Symlink("/etc/pki/ca-trust/extracted/tls-ca-bundle.pem", filepath.Join(certs, "ca-bundle.crt")),
		os.Symlink("/etc/pki/ca-trust/extracted/ca-bundle.trust.crt", filepath.Join(certs, "ca-bundle.trust.crt")),
		os.Symlink("../pki/tls/certs", filepath.Join(etc, "ssl/certs")))
}
