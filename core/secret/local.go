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

// maxFile bounds what is read of a file, in bytes: a path to the wrong file must not fill the memory.
const maxFile = 1 << 20

// envSource is the environment variable name, as lookup knows it. An empty variable counts as unset.
func envSource(name string, lookup func(string) (string, bool)) Source {
	return SourceFunc(func(context.Context) (Secret, error) {
		v, _ := lookup(name)
		if v == "" {
			return Secret{}, fmt.Errorf("%w: the environment variable %s is not set", ErrMisconfigured, name)
		}
		return Secret{NewValue(v), Fingerprint(v)}, nil
	})
}

// fileSource is the regular file at an absolute path; links are followed. Each Fetch reads it anew, so a
// mounted secret follows a rotation when its file is replaced.
//
// No context interrupts the read of a file, which hangs where the file is on a mount whose server is down.
// A Cache abandons such a read.
func fileSource(path string) (Source, error) {
	// A path from the root is absolute on Windows too, so that a setting means the same everywhere.
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

// readFile reads a small regular file. Its errors wrap ErrMisconfigured, except for an I/O error, which a
// network mount returns while its server is down.
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
		err = e.Err // the caller names the path
	}
	if errors.Is(err, syscall.EIO) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMisconfigured, err)
}

// fingerprintKey is unknown outside of this process: nobody can test guesses of a secret against a logged
// version.
var fingerprintKey = []byte(rand.Text())

// Fingerprint returns a [Version] for content from a store without versions. It is meaningful only within
// this process.
func Fingerprint(content string) Version {
	mac := hmac.New(sha256.New, fingerprintKey)
	mac.Write([]byte(content))
	return Version(hex.EncodeToString(mac.Sum(nil)[:8]))
}
