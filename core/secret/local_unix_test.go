//go:build unix

package secret_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orga-session/orga-session/core/secret"
	"github.com/orga-session/orga-session/core/secret/secrettest"
)

// mount is a Store: a folder with a link to the current version, like a mounted secret.
type mount struct {
	folder   string
	versions int
}

func (m *mount) Source() secret.Source {
	src, _ := secret.File(m.folder + "/api-key") // it is absolute
	return src
}

func (m *mount) Put(t testing.TB, content string) {
	m.versions++
	version := strings.Repeat("v", m.versions)
	if err := os.Mkdir(filepath.Join(m.folder, version), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.folder, version, "api-key"), content)
	swap := func(target, link string) {
		if err := errors.Join(os.Symlink(target, m.folder+"/swap"), os.Rename(m.folder+"/swap", filepath.Join(m.folder, link))); err != nil {
			t.Fatal(err)
		}
	}
	swap(version, "data")
	swap("data/api-key", "api-key")
}

func (m *mount) Delete(t testing.TB) {
	if err := os.Remove(m.folder + "/data"); err != nil {
		t.Fatal(err)
	}
}

func TestConformanceOfAMount(t *testing.T) {
	secrettest.Conformance(t, func(t *testing.T) secrettest.Store { return &mount{folder: t.TempDir()} })
}

func TestFileWithoutPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	locked := file(t, "content")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	cannotBeRead(t, locked, "", fs.ErrPermission)
}

func TestFileWithoutAnEnd(t *testing.T) {
	cannotBeRead(t, "/dev/zero", "must be a regular file", nil)
}

// An I/O error is an outage, of a network mount for example, and not a fault of the settings.
func TestFileWithAnInputError(t *testing.T) {
	const broken = "/proc/self/mem" // there is no memory at the address 0
	if _, err := os.Stat(broken); err != nil {
		t.Skip(err)
	}
	_, err := openFile(t, broken).Fetch(t.Context())
	if !errors.Is(err, syscall.EIO) || errors.Is(err, secret.ErrMisconfigured) || strings.Count(err.Error(), broken) != 1 {
		t.Errorf("the error is %v", err)
	}
}

// A pipe instead of the file does not block, and a file that replaces it is read.
func TestFileThatIsAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	src := openFile(t, pipe)
	if _, err := src.Fetch(ctx); !errors.Is(err, secret.ErrMisconfigured) || !strings.Contains(err.Error(), "must be a regular file") {
		t.Errorf("a pipe: the error is %v", err)
	}
	plainFile{pipe}.Put(t, "content")
	if got, err := src.Fetch(ctx); err != nil || got.Value.Reveal() != "content" {
		t.Errorf("replaced: %v", err)
	}
}
