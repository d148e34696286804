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
)

// maxFile bounds what is read of a file: a path to the wrong one must not fill the memory.
const maxFile = 1 << 20

// Env is the environment variable name, as lookup (os.LookupEnv in a program) knows it.
func Env(name string, lookup func(string) (string, bool)) Source {
	return SourceFunc(func(context.Context) (Secret, error) {
		v, ok := lookup(name)
		if !ok || v == "" {
			return Secret{}, fmt.Errorf("%w: the environment variable %s is not set", ErrMisconfigured, name)
		}
		return Secret{NewValue(v), Fingerprint(v)}, nil
	})
}

// File is the file at an absolute path, read anew at each Fetch: a mounted secret follows a rotation
// when its file is replaced.
func File(path string) (Source, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%w: file: takes an absolute path", ErrMisconfigured)
	}
	return SourceFunc(func(context.Context) (Secret, error) {
		v, err := readFile(path)
		if err != nil {
			return Secret{}, fmt.Errorf("%w: %s: %w", ErrMisconfigured, path, err)
		}
		return Secret{NewValue(v), Fingerprint(v)}, nil
	}), nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err // the path is named once, by the caller
		}
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxFile {
		return "", fmt.Errorf("larger than %d bytes", maxFile)
	}
	return string(b), nil
}

// fingerprintKey makes fingerprints useless outside this process: nobody can test guesses of a secret
// against a logged version.
var fingerprintKey = []byte(rand.Text())

// Fingerprint is the Version of a content whose store keeps none.
func Fingerprint(content string) Version {
	mac := hmac.New(sha256.New, fingerprintKey)
	mac.Write([]byte(content))
	return Version(hex.EncodeToString(mac.Sum(nil)[:8]))
}
