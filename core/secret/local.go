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
	"syscall"
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

// File is the regular file at an absolute path (links are followed), read anew at each Fetch: a mounted
// secret follows a rotation when its file is replaced. A read that hangs, as one of a mount whose server
// is away, is left behind when ctx ends; until it returns, each further Fetch fails.
func File(path string) (Source, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%w: file: takes an absolute path", ErrMisconfigured)
	}
	return file(path, readFile), nil
}

// file is File, with what reads.
func file(path string, readFile func(path string) (string, error)) Source {
	turn := make(chan struct{}, 1) // full while a read is under way
	return SourceFunc(func(ctx context.Context) (Secret, error) {
		type outcome struct {
			text string
			err  error
		}
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return Secret{}, Unavailable(ctx.Err())
		}
		read := make(chan outcome, 1)
		go func() {
			text, err := readFile(path)
			<-turn
			read <- outcome{text, err}
		}()
		select {
		case o := <-read:
			if o.err != nil {
				return Secret{}, fmt.Errorf("%s: %w", path, o.err)
			}
			return Secret{NewValue(o.text), Fingerprint(o.text)}, nil
		case <-ctx.Done():
			return Secret{}, Unavailable(ctx.Err())
		}
	})
}

// readFile reads a small regular file. Its errors are ErrMisconfigured, but for an I/O error: a mount
// that fetches its files has that for a server that is away.
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
		return "", fmt.Errorf("%w: it is no regular file", ErrMisconfigured)
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

// fingerprintKey makes fingerprints useless outside this process: nobody can test guesses of a secret
// against a logged version.
var fingerprintKey = []byte(rand.Text())

// Fingerprint is the Version of a content whose store keeps none.
func Fingerprint(content string) Version {
	mac := hmac.New(sha256.New, fingerprintKey)
	mac.Write([]byte(content))
	return Version(hex.EncodeToString(mac.Sum(nil)[:8]))
}
