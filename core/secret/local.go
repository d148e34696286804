package secret

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxFile bounds how much of a file is read, in bytes, so that a wrong path does not exhaust the memory.
const maxFile = 1 << 20

// envSource is the environment variable with this name in lookup. An empty variable counts as unset.
func envSource(name string, lookup func(string) (string, bool)) Source {
	return SourceFunc(func(context.Context) (Secret, error) {
		v, _ := lookup(name)
		if v == "" {
			return Secret{}, fmt.Errorf("%w: the environment variable %s is not set", ErrMisconfigured, name)
		}
		return Secret{NewValue(v), Fingerprint(v)}, nil
	})
}

// fileSource is the regular file at an absolute path; links are followed. Each Fetch reads it again, so that replacing the
// file of a mounted secret rotates it.
//
// A context cannot interrupt reading a file, which hangs if its mount's server is down. The endpoint's cache abandons such
// a read.
func fileSource(path string) (Source, error) {
	// A path that starts with / is absolute on Windows, too, so that a setting means the same everywhere.
	if !filepath.IsAbs(path) && !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("%w: want an absolute path after file:", ErrMisconfigured)
	}
	return SourceFunc(func(context.Context) (Secret, error) {
		text, err := readFile(path)
		if err != nil {
			return Secret{}, fmt.Errorf("%s: %w", path, err)
		}
		return Secret{NewValue(text), Fingerprint(text)}, nil
	}), nil
}

// readFile reads a small regular file. Its errors wrap ErrMisconfigured, except for I/O errors, which a network mount
// returns while its server is down.
func readFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return "", fileError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fileError(err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: it must be a regular file", ErrMisconfigured)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fileError(err)
	}
	if len(b) > maxFile {
		return "", fmt.Errorf("%w: it is larger than %d bytes", ErrMisconfigured, maxFile)
	}
	return string(b), nil
}

func fileError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // the caller adds the path
	}
	if errors.Is(err, syscall.EIO) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMisconfigured, err)
}

// fingerprintKey is secret to this process, so that guesses of a secret cannot be tested against a logged version.
var fingerprintKey = []byte(rand.Text())

// Fingerprint returns a [Version] for content from a store without versions. It is valid only within this process.
func Fingerprint(content string) Version {
	mac := hmac.New(sha256.New, fingerprintKey)
	mac.Write([]byte(content))
	return Version(hex.EncodeToString(mac.Sum(nil)[:8]))
}
