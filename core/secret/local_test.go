package secret_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/internal/secretcache"
	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// file returns the path of a new file.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api-key")
	write(t, path, content)
	return path
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func openFile(t testing.TB, path string) secret.Source {
	t.Helper()
	src, err := secret.File(path)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// variable is a Store: an environment with one variable.
type variable struct {
	mu    sync.Mutex
	value string
}

func (v *variable) Source() secret.Source {
	return secret.Env("ORGA_API_KEY", func(name string) (string, bool) {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.value, v.value != "" && name == "ORGA_API_KEY"
	})
}

func (v *variable) Put(_ testing.TB, content string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.value = content
}

func (v *variable) Delete(t testing.TB) { v.Put(t, "") }

// plainFile is a Store: a file that is replaced by renaming.
type plainFile struct{ path string }

func (f plainFile) Source() secret.Source {
	src, _ := secret.File(f.path) // it is absolute
	return src
}

func (f plainFile) Put(t testing.TB, content string) {
	write(t, f.path+".new", content)
	if err := os.Rename(f.path+".new", f.path); err != nil {
		t.Fatal(err)
	}
}

func (f plainFile) Delete(t testing.TB) {
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	for name, open := range map[string]func(*testing.T) secrettest.Store{
		"env":  func(*testing.T) secrettest.Store { return &variable{} },
		"file": func(t *testing.T) secrettest.Store { return plainFile{filepath.Join(t.TempDir(), "api-key")} },
	} {
		t.Run(name, func(t *testing.T) { secrettest.Conformance(t, open) })
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	folder := t.TempDir()
	large := file(t, "")
	if err := os.Truncate(large, 1<<20+1); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, says string
		is               error
	}{
		{"not there", filepath.Join(folder, "nothing"), "", fs.ErrNotExist},
		{"a folder", folder, "must be a regular file", nil},
		{"too large", large, "larger than", nil},
	} {
		t.Run(tt.name, func(t *testing.T) { cannotBeRead(t, tt.path, tt.says, tt.is) })
	}
	if err := os.Truncate(large, 1<<20); err != nil {
		t.Fatal(err)
	}
	if got, err := openFile(t, large).Fetch(t.Context()); err != nil || len(got.Value.Reveal()) != 1<<20 {
		t.Errorf("a file as large as may be: %v", err)
	}
	if _, err := secret.File("etc/orga"); !errors.Is(err, secret.ErrMisconfigured) {
		t.Errorf("a relative path: the error is %v", err)
	}
}

// cannotBeRead checks that the file at path is a fault of the settings, and that the error names the path once.
func cannotBeRead(t *testing.T, path, says string, is error) {
	t.Helper()
	_, err := openFile(t, path).Fetch(t.Context())
	if !errors.Is(err, secret.ErrMisconfigured) || is != nil && !errors.Is(err, is) ||
		!strings.Contains(err.Error(), says) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("the error is %v", err)
	}
}

func TestCacheOfAFile(t *testing.T) {
	const short = time.Nanosecond // a TTL that is over at the next call
	path := file(t, "one")
	cache := secretcache.New(openFile(t, path), secretcache.Options{Name: "file:" + path, TTL: short})
	want := func(when, content string) {
		t.Helper()
		if got, err := cache.Get(t.Context()); err != nil || got.Value.Reveal() != content {
			t.Errorf("%s: %v", when, err)
		}
	}
	want("at first", "one")
	plainFile{path}.Put(t, "two")
	want("fault 15: replaced", "two")
	plainFile{path}.Delete(t)
	want("fault 15: not readable", "two")
}

func TestFingerprint(t *testing.T) {
	one, two := secret.Fingerprint("one"), secret.Fingerprint("two")
	if one == two || one != secret.Fingerprint("one") || len(one) != 16 {
		t.Errorf("fingerprints: %q %q", one, two)
	}
}
